"""The revocations, as the node asks the store for them."""

from typing import Protocol

from holdfast.domain.ids import UserId


class RevocationStore(Protocol):
    """Revoked users and revoked tokens.

    What every method promises and raises: see `Store`.
    """

    async def revoke(self, user_id: UserId) -> int:
        """Revoke the user's tokens; when that was, by the store's own clock (Unix milliseconds). Never moves back."""
        ...

    async def read_revocations(self, since_ms: int) -> dict[UserId, int]:
        """When each user was revoked last, of those revoked at or after `since_ms`, by the store's own clock; 0: all of them."""
        ...

    async def revoke_token(self, name: str, ends_at_ms: int) -> None:
        """Revoke one token until `ends_at_ms` (Unix milliseconds by the store's own clock); later the store may forget it."""
        ...

    async def read_revoked_tokens(self, since_ms: int, limit: int) -> dict[str, int]:
        """Until when each token is revoked, of those revoked at or after `since_ms`, by the store's own clock; 0: of all.

        At most `limit`, of all of them those that end last. Some may have ended already.
        """
        ...
