"""A definite answer of Firestore's that is no success."""

import grpc  # type: ignore[import-untyped]  # ships no types

Status = grpc.StatusCode


class Refused(Exception):
    """The call has changed nothing; `code` is one of gRPC's, `text` what Firestore says."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.text = text


def invalid(text: str) -> Refused:
    """The request itself is wrong, whatever is stored."""
    return Refused(Status.INVALID_ARGUMENT, text)


def unimplemented(what: str) -> Refused:
    """Firestore can do it, the simulated one cannot."""
    return Refused(Status.UNIMPLEMENTED, f"the simulated Firestore has no {what}")
