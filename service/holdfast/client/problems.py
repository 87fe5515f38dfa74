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


def retry_after_seconds(header: str) -> float:
    """The pause that an answer asks for; 0 where it names none."""
    return float(header) if header.isascii() and header.isdecimal() and len(header) < 6 else 0.0


def foreign_answer(status: int) -> tuple[str, str]:
    """Code and detail of an answer that is not the service's; nothing of its text, which may repeat our headers."""
    detail = f"answered {status}, and it was not the service: is a proxy in front of it, or the address wrong?"
    if 300 <= status < 400:
        detail = f"answered {status}: redirects are not followed, use the address that they lead to"
    return f"http_{status}", detail


def problem_in(content: bytes) -> Problem | None:
    """The service's problem document in an answer; None when the answer is not the service's."""
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if problem.type != _OURS + problem.code:
        return None
    return msgspec.structs.replace(problem, detail=problem.detail[:_MAX_DETAIL])
