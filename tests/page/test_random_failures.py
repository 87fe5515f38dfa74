"""Two people write to each other while parts are killed, drained and frozen, pages reloaded and tabs closed, all at random."""

import asyncio
import contextlib
import random
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from holdfast.domain.conversations import direct_id
from holdfast.domain.ids import UserId
from support.eventually import eventually
from support.page import Couple, Window
from support.up import Up

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Response

_PAUSE_SECONDS = 0.4
_FROZEN_SECONDS = 3.0
_WITHIN = 60.0  # both instances may have to start again, on two cores
_LONG = (pytest.mark.endurance, pytest.mark.timeout(900))
_LAST = 20  # a page shows the newest ones, older ones on demand


class Chat:
    """Both windows, and all that was written into them."""

    def __init__(self, couple: Couple, up: Up, seed: int) -> None:
        self.couple, self.up, self.chance = couple, up, random.Random(seed)
        self.windows: dict[str, Window] = {}
        self.written: list[str] = []
        self.done: list[str] = []
        self.is_over = asyncio.Event()
        self._whole = {user: asyncio.Lock() for user in couple.users}  # held while a page is not there to be written into

    async def begin(self) -> None:
        """Both write from now on."""
        for window in await self.couple.windows():
            self.windows[window.user] = window

    async def talk(self, user: str) -> None:
        """One message after the other, until `is_over`."""
        while not self.is_over.is_set():
            await asyncio.sleep(_PAUSE_SECONDS * self.chance.uniform(0.5, 1.5))  # people think between two messages
            async with self._whole[user]:
                text = f"{user} {len(self.written)}"
                self.written.append(text)
                await self.windows[user].say(text)

    async def fail(self) -> None:
        """One failure at random, and its end."""
        kind = self.chance.choice(["kill", "drain", "freeze", "redis", "reload", "reload", "close"])
        instance, user = self.chance.choice(["instance-1", "instance-2"]), self.chance.choice(self.couple.users)
        self.done.append(f"{kind} {user if kind in ('reload', 'close') else instance}")
        match kind:
            case "kill" | "redis":
                name = "redis" if kind == "redis" else instance
                await self.up.lose(name)
                await asyncio.sleep(self.chance.uniform(0.0, 2.0))  # how long it is away: part of the failure
                await self.up.start_again(name)
            case "drain":
                gone = self.up.output.count(f"{instance} is gone")
                self.up.kill(instance, signal.SIGTERM)
                await eventually(lambda: self.up.output.count(f"{instance} is gone") > gone, within=_WITHIN)
                await self.up.start_again(instance)
            case "freeze":
                self.up.kill(instance, signal.SIGSTOP)
                await asyncio.sleep(_FROZEN_SECONDS)  # how long it stands still
                self.up.kill(instance, signal.SIGCONT)
            case "reload":
                await self.reload(user)
            case "close":
                await self.close_and_open(user)

    async def reload(self, user: str) -> None:
        """In the middle of everything: what waits to be sent outlives it."""
        async with self._whole[user]:
            await self.windows[user].page.reload()
            await self._is_there(user)

    async def close_and_open(self, user: str) -> None:
        """When all is sent: what waits in a tab ends with it."""
        async with self._whole[user]:
            window = self.windows[user]
            await eventually(lambda: self._is_sent(window), within=_WITHIN)
            address = window.page.url
            await window.page.context.close()
            self.windows[user] = window = await self.couple.window(user)
            with contextlib.suppress(Exception):  # the address differs in its last part only: there may be no answer to wait for
                _: Response | None = await window.page.goto(address)
            await self._is_there(user)

    async def _is_there(self, user: str) -> None:
        await self.windows[user].find("composer").wait_for(timeout=_WITHIN * 1_000)

    @staticmethod
    async def _is_sent(window: Window) -> bool:
        return await window.page.locator("[data-testid=message][data-state=pending]").count() == 0

    async def history(self) -> list[str]:
        """All of the conversation, from REST."""
        async with httpx.AsyncClient(verify=False, base_url=self.up.url) as front:
            user = self.couple.users[0]
            token = (await front.post("/demo/token", json={"user_id": user})).json()["token"]
            path = f"/api/conversations/{direct_id(*map(UserId, self.couple.users))}/messages"
            texts, after = list[str](), 0
            while True:
                query: dict[str, Any] = {"after_seq": after, "limit": 200}
                page = (await front.get(path, params=query, headers={"Authorization": f"Bearer {token}"})).json()
                texts += [message["body"] for message in page["messages"]]
                if not page["has_more"]:
                    return texts
                after = page["messages"][-1]["seq"]


@pytest.mark.parametrize(("seed", "seconds"), [(1, 20.0), *(pytest.param(seed, 300.0, marks=_LONG) for seed in (2, 3))])
async def test_nothing_is_lost_or_shown_twice_whatever_fails(couple: Couple, up: Up, seed: int, seconds: float) -> None:
    """Each message is stored once, and both pages show the end of the conversation as it is stored."""
    chat = Chat(couple, up, seed)
    await chat.begin()
    until = asyncio.get_running_loop().time() + seconds
    talking = [asyncio.create_task(chat.talk(user)) for user in couple.users]
    try:
        while asyncio.get_running_loop().time() < until:
            await chat.fail()
            for window in list(chat.windows.values()):
                shown = await window.bodies()
                assert len(shown) == len(set(shown)), (chat.done, shown)
    finally:
        chat.is_over.set()
        ends = await asyncio.gather(*talking, return_exceptions=True)
    assert ends == [None, None], chat.done
    await _are_complete(chat)


async def _are_complete(chat: Chat) -> None:
    for window in chat.windows.values():
        await eventually(lambda window=window: chat._is_sent(window), within=_WITHIN)  # type: ignore[misc]  # its default is typed by the value
    stored = await chat.history()
    assert sorted(stored) == sorted(chat.written), chat.done
    for window in chat.windows.values():
        assert await _shows(window, stored), (chat.done, window.user, stored[-_LAST:], await window.bodies())
        assert window.complaints == [], chat.done


async def _shows(window: Window, stored: list[str]) -> bool:
    async def is_so() -> bool:
        return (await window.bodies())[-_LAST:] == stored[-_LAST:]

    try:
        await eventually(is_so, within=_WITHIN)
    except AssertionError:
        return False
    return True
