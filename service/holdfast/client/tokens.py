"""The token, and how to get the next one. Nothing of a token or of a hook's error stands in what is raised here."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Final

from holdfast.client.errors import ClientStopped
from holdfast.errors import HoldfastError

Token = str | Callable[[], Awaitable[str]]
"""A token, or how to get one: asked before every connection and when one is about to expire."""

_HOOK_SECONDS: Final = 30.0  # a login service that answers later than this is as good as down
_FORM: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)  # RFC 6750, section 2.1


class TokenUnavailable(HoldfastError):
    """The hook failed, or took too long: it is asked again later."""


class TokenInvalid(TokenUnavailable):
    """The function's result is not a token: every instance would refuse it."""


class Tokens:
    """Of one client."""

    def __init__(self, source: Token) -> None:
        """Asks nothing yet.

        Raises:
            TypeError: neither text nor something to call.
        """
        if not isinstance(source, str) and not callable(source):
            raise TypeError(f"token: text or a coroutine function expected, not {type(source).__name__}")
        self._source = source
        self._latest = ""

    @property
    def is_static(self) -> bool:
        """There will never be another one."""
        return isinstance(self._source, str)

    async def fresh(self) -> str:
        """A token from the hook, if there is one.

        Raises:
            TokenUnavailable: not now.
            TokenInvalid: what came is no token.
            ClientStopped: raised by the hook (the user has to log in again), or the hook is no coroutine function.
        """
        self._latest = _checked(self._source if isinstance(self._source, str) else await self._asked(self._source))
        return self._latest

    async def latest(self) -> str:
        """The one that was used last, or a fresh one after `forget`.

        Raises:
            TokenUnavailable: not now.
            ClientStopped: as with `fresh`.
        """
        return self._latest or await self.fresh()

    def forget(self) -> None:
        """The latest one was refused."""
        self._latest = ""

    async def _asked(self, hook: Callable[[], object]) -> object:
        try:
            async with asyncio.timeout(_HOOK_SECONDS):
                answer = hook()
                if inspect.isawaitable(answer):
                    token: object = await answer
                    return token
        except ClientStopped:
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise TokenUnavailable("the token hook was cancelled") from None
        except TimeoutError as error:
            raise TokenUnavailable(f"the token hook did not answer within {_HOOK_SECONDS:.0f} s") from error
        except Exception as error:  # the application's code: whatever it raises, the login may work again later
            raise TokenUnavailable(f"the token hook raised {type(error).__name__}") from error
        detail = f"the token hook must be a coroutine function; it returned {type(answer).__name__}"
        raise ClientStopped("invalid_token_hook", detail)


def _checked(token: object) -> str:
    if not isinstance(token, str):
        raise TokenInvalid(f"the token hook returned {type(token).__name__}, not text")
    if not token:
        raise TokenInvalid("the token is empty")
    if _FORM.fullmatch(token) is None:
        raise TokenInvalid("the token holds a line end, a space or another character that no token has")
    return token
