"""Tokens of a drill's users that a command of the operator prints: for a release whose tokens an identity provider signs.

All are asked for before anything is broken: a command that takes its time would hold up every simulated user.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import jwt

from holdfast.launcher.waiting import TargetFailed

_AT_ONCE: Final = 8  # what an identity provider takes from one address without a limit of calls
_ANSWER_SECONDS: Final = 30.0
_LEAST_SECONDS: Final = 600.0  # the longest drill on a cluster takes half of that


async def printed(command: Sequence[str], users: Sequence[str]) -> dict[str, str]:
    """The token of each user: what `command` prints when the user's id follows as its last argument.

    Raises:
        TargetFailed: it fails, or what it prints is no token of that user that lasts for a drill.
    """
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(user: str) -> str:
        async with room:
            return _checked(await _run((*command, user)), user)

    tasks = [asyncio.create_task(one(user)) for user in users]
    try:
        return dict(zip(users, await asyncio.gather(*tasks), strict=True))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(command: Sequence[str]) -> str:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise TargetFailed(f"--token-command: {error}") from None
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        raise TargetFailed(f"--token-command: no token of {command[-1]} within {_ANSWER_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise TargetFailed(
            f"--token-command: exit {process.returncode} for {command[-1]}: {err.decode(errors='replace').strip()[-300:]}"
        )
    return out.decode(errors="replace").strip()


def _checked(token: str, user: str) -> str:
    """A mistake of the command is told as such: later it would look like a failure of the service."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise TargetFailed(f"--token-command: what it prints for {user} is no JWT") from None
    if claims.get("sub") != user:
        raise TargetFailed(f"--token-command: the token for {user} is of {claims.get('sub')!r} (`sub`)")
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or expires < time.time() + _LEAST_SECONDS:
        raise TargetFailed(f"--token-command: the token for {user} does not last {_LEAST_SECONDS / 60:.0f} minutes (`exp`)")
    return token
