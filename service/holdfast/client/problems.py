"""Which answers are the service's own: only these are believed, everything else comes from something in between."""

from typing import Final

import msgspec

_OURS: Final = "urn:holdfast:problem:"
_MAX_DETAIL: Final = 300


class Problem(msgspec.Struct, frozen=True):
    """As much of a problem document as a client decides by."""

    type: str
    code: str
    detail: str
    retryable: bool


def problem_in(content: bytes) -> Problem | None:
    """The service's problem document in an answer; None when the answer is not the service's."""
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if problem.type != _OURS + problem.code:
        return None
    return msgspec.structs.replace(problem, detail=problem.detail[:_MAX_DETAIL])
