"""An instance that ends as by kill -9 the moment certain words are in the store: no ack, no publication.

`python -m holdfast.drills.local.doomed serve` is `holdfast serve` with that one change. No setting leads here: an instance that
is run as `holdfast` does not import this module.
"""

import os
import runpy
import signal
from typing import Any, Final

from holdfast.node.sending.append import Appender, Batch

LAST_WORDS: Final = "last words"


def die_after_commit() -> None:
    """From now on this process is killed when `LAST_WORDS` have been committed."""
    hand_on = Appender._hand_on  # noqa: SLF001 - the point between a commit and everything after it

    def _hand_on(self: Appender, batch: Batch, *arguments: Any, **options: Any) -> None:
        if any(waiting.draft.body == LAST_WORDS for same in batch.sends.values() for waiting in same):
            os.kill(os.getpid(), signal.SIGKILL)
        hand_on(self, batch, *arguments, **options)

    Appender._hand_on = _hand_on  # type: ignore[method-assign]  # noqa: SLF001 - see above


if __name__ == "__main__":
    die_after_commit()
    runpy.run_module("holdfast", run_name="__main__", alter_sys=True)
