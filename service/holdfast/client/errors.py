"""What the client raises to its user."""

from holdfast.errors import HoldfastError


class SendFailed(HoldfastError):
    """A command will not succeed, or was pursued for as long as it may be.

    Attributes:
        code: of `protocol.codes.CODES`, or a newer one, unknown here; its own are `closed`, `expired`, `unreachable`.
        detail: one sentence for a log.
        outcome: `refused`: it is not stored and will not be; `unknown`: it may be.
        retryable: the same command under the same id, unchanged, may succeed later.
    """

    def __init__(self, code: str, detail: str, *, outcome: str = "refused", retryable: bool = True) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.outcome = outcome
        self.retryable = retryable


class CallFailed(SendFailed):
    """A call of REST will not succeed, or did not within its time. An `except SendFailed` catches it, too.

    Attributes:
        status: of HTTP; 0 where there was no answer.
        retry_after_seconds: the pause that the service asks for, 0 where it names none.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        outcome: str = "refused",
        retryable: bool = True,
        status: int = 0,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(code, detail, outcome=outcome, retryable=retryable)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class ClientStopped(HoldfastError):
    """The client has ended: it was closed, or the server told it not to come back. A token hook may raise it, too.

    Attributes:
        code: `closed`, or an error code such as `unauthenticated`.
        detail: one sentence for a log.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
