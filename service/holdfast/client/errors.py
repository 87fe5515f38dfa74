"""What the client raises to its user."""

from holdfast.errors import HoldfastError


class SendFailed(HoldfastError):
    """A command will not succeed, or was pursued for as long as it may be.

    Attributes:
        code: of `protocol.codes.CODES`, or a newer one that this client does not know.
        detail: one sentence for a log.
        outcome: `refused`: it is not stored and will not be; `unknown`: it may be.
    """

    def __init__(self, code: str, detail: str, *, outcome: str = "refused") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.outcome = outcome


class ClientStopped(HoldfastError):
    """The client has ended: it was closed, or the server told it not to come back.

    Attributes:
        code: `closed`, or an error code such as `unauthenticated`.
        detail: one sentence for a log.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
