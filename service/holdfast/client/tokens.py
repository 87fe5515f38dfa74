"""The token, and how to get the next one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from holdfast.client.errors import ClientStopped
from holdfast.errors import HoldfastError

Token = str | Callable[[], Awaitable[str]]
"""A token, or how to get one: asked before every connection and when one is about to expire."""

_HOOK_SECONDS: Final = 30.0  # a login service that answers later than this is as good as down


class TokenUnavailable(HoldfastError):
    """The hook failed, or took too long: it is asked again later."""


class Tokens:
    """Of one client."""

    def __init__(self, source: Token) -> None:
        """Asks nobody yet."""
        self._source = source
        self._latest = source if isinstance(source, str) else ""

    @property
    def is_static(self) -> bool:
        """There will never be another one."""
        return isinstance(self._source, str)

    async def fresh(self) -> str:
        """A token from the hook, if there is one.

        Raises:
            TokenUnavailable: not now.
            ClientStopped: raised by the hook: the user has to log in again.
        """
        if not isinstance(self._source, str):
            try:
                async with asyncio.timeout(_HOOK_SECONDS):
                    self._latest = await self._source()
            except ClientStopped:
                raise
            except Exception as error:  # the application's code: whatever it raises, the login may work again later
                raise TokenUnavailable(f"the token hook failed: {error!r}") from error
        return self._latest

    async def latest(self) -> str:
        """The one that was used last, or a fresh one after `forget`.

        Raises:
            TokenUnavailable: not now.
            ClientStopped: raised by the hook.
        """
        return self._latest or await self.fresh()

    def forget(self) -> None:
        """The latest one was refused."""
        if not self.is_static:
            self._latest = ""
