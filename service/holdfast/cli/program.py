"""How this program is called from a shell: what is printed to be copied must work as it stands, from any directory."""

import shlex
import shutil
import sys
from pathlib import Path

_NAME = "holdfast"


def command(*arguments: str) -> str:
    """A command line of ours: by its bare name only where the shell finds this very program under it."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return shlex.join([sys.executable, "-m", _NAME, *arguments])
    found = shutil.which(_NAME)
    is_on_path = found is not None and program.exists() and Path(found).samefile(program)
    return shlex.join([_NAME if is_on_path else str(program.absolute()), *arguments])
