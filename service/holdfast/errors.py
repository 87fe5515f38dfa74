"""Every error that Holdfast raises on purpose, as one tree.

HoldfastError
├── CommandError            a command is refused; `protocol.codes` maps its code to HTTP status and close code
│   ├── InvalidRequest      a field is missing, malformed or out of range
│   ├── InvalidJson         the text is not JSON that we accept
│   └── (all others are CommandError with their code)
├── StoreError              the store's answer to one attempt
│   ├── StoreConflict       definite: something exists already or a precondition failed; nothing was written
│   │   └── PredecessorMissing  definite: the message or conversation that an append follows does not exist; nothing was written
│   ├── StoreRejected       definite: the content was refused; nothing was written and never will be
│   ├── StoreDenied         definite: credentials, permissions or addresses are wrong; waiting does not help
│   └── StoreUnavailable    ambiguous: it may or may not have been written
│       ├── StoreTimeout    the same, and the deadline ended the wait
│       └── StoreBusy       definite: the attempt was never made, too many others are under way
├── RedisUnavailable        Redis refused, reset or failed the call
│   ├── RedisDenied         definite: the user, the password or a right is wrong; waiting does not help
│   └── RedisTimeout        Redis did not answer within the deadline
├── OrchestratorUnavailable the API server of Kubernetes refused or failed the call
├── KeysUnavailable         the identity provider's keys cannot be fetched; those that are known stay in use
├── LeaseLost               this instance's lease is missing or belongs to another run
├── NameTaken               a process that started later holds this instance's name
├── Undecodable             a value read back from Redis or the store is not one that this version writes
├── PushFailed              an offline notification was not taken by its receiver
├── WorldChanged            Redis was flushed, restarted empty or replaced since the last look
└── ConfigurationError      a setting is wrong; its message is one line that names it
"""


class HoldfastError(Exception):
    """Root of the tree."""


class CommandError(HoldfastError):
    """A command is refused.

    Attributes:
        code: one of `protocol.codes.ErrorCode`; decides HTTP status, close code and `retryable`.
        detail: one sentence for the person who reads the client's log.
        field: the offending field, where there is one.
        outcome: of a send: `refused` (not stored and will not be) or `unknown` (send it again under the same id).
        retry_after_ms: when trying again makes sense, where we know.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        outcome: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field
        self.outcome = outcome
        self.retry_after_ms = retry_after_ms


def rate_limited(detail: str, debt_seconds: float, *, outcome: str | None = None) -> CommandError:
    """Too often; `debt_seconds`: as a token bucket says it. `outcome`: see `CommandError`."""
    return CommandError("rate_limited", detail, outcome=outcome, retry_after_ms=int(debt_seconds * 1000) + 1)


class InvalidRequest(CommandError):
    """A field is missing, malformed or out of range; `field` names it."""

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__("invalid_request", detail, field=field)


class InvalidJson(CommandError):
    """The text is not JSON that we accept (syntax, NaN, lone surrogates, nesting)."""

    def __init__(self, detail: str) -> None:
        super().__init__("invalid_json", detail)


class StoreError(HoldfastError):
    """The store's answer to one attempt."""


class StoreConflict(StoreError):
    """Definite: a document exists already or a precondition failed. Nothing of the attempt was written."""


class PredecessorMissing(StoreConflict):
    """Definite: the message that an append follows (for the first one: the conversation) does not exist. Nothing was written."""


class StoreRejected(StoreError):
    """Definite: the content was refused. Nothing was written, and trying again gives the same answer."""


class StoreDenied(StoreError):
    """Definite: credentials, permissions or the address are wrong. A start ends with this; waiting does not help."""


class StoreUnavailable(StoreError):
    """Ambiguous: the attempt may have been written or may still be. Only reading tells."""


class StoreTimeout(StoreUnavailable):
    """Ambiguous, because the deadline ended the wait."""


class StoreBusy(StoreUnavailable):
    """Definite: the attempt was never made, because too many others were under way. Nothing was written."""


class RedisUnavailable(HoldfastError):
    """Redis refused, reset or failed the call (an open circuit included)."""


class RedisDenied(RedisUnavailable):
    """Definite: the user, the password or a right is wrong. A start ends with this; a running instance goes on without Redis."""


class RedisBusy(RedisUnavailable):
    """Definite: nothing was sent, because too many of our own calls were under way. It is no sign of a fault of Redis."""


class RedisTimeout(RedisUnavailable):
    """Redis did not answer within the deadline."""


class OrchestratorUnavailable(HoldfastError):
    """The API server of Kubernetes did not answer, or refused. Nothing that matters depends on it."""


class KeysUnavailable(HoldfastError):
    """The identity provider's keys cannot be fetched, or none of them is usable. Keys that are known already stay in use."""


class LeaseLost(HoldfastError):
    """This instance's lease is missing or carries the epoch of another run: everything must be registered again."""


class NameTaken(HoldfastError):
    """Another live process, started later, holds the lease on this instance's name: the older one yields."""


class WorldChanged(HoldfastError):
    """`registry:world` is gone or another one: Redis was flushed, restarted empty or replaced."""


class Undecodable(HoldfastError):
    """A value read back is not one that this version writes: it is skipped, counted, and removed where it is ours."""


class PushFailed(HoldfastError):
    """An offline notification was not taken; `is_final` says whether trying again is useless."""

    def __init__(self, detail: str, *, is_final: bool) -> None:
        super().__init__(detail)
        self.is_final = is_final


class ConfigurationError(HoldfastError):
    """A setting is wrong. The message is one line that names it."""
