"""`python -m holdfast`: the same as the `holdfast` command, for children that must run under this very interpreter."""

import sys

from holdfast.cli import main

if __name__ == "__main__":
    sys.exit(main())
