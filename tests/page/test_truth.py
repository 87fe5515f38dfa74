"""What the page says is so: when it reaches no instance, when there is no network, and of conversations that have just begun."""

import asyncio
from typing import TYPE_CHECKING

import httpx

from support.eventually import eventually
from support.page import WITHIN, Couple, Window
from support.up import Up

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser, Request

_WATCH_LIST = """
window.seen = [];
const look = () => document.querySelectorAll("#conversations .last").forEach((line) => window.seen.push(line.textContent));
const changes = {childList: true, subtree: true, characterData: true};
addEventListener("DOMContentLoaded", () => new MutationObserver(look).observe(document.body, changes));
"""


async def _rest(up: Up, user: str) -> httpx.AsyncClient:
    """REST through the front, as that user."""
    async with httpx.AsyncClient(verify=False, base_url=up.url) as front:
        token = (await front.post("/demo/token", json={"user_id": user})).json()["token"]
    return httpx.AsyncClient(verify=False, base_url=f"{up.url}/api", headers={"Authorization": f"Bearer {token}"})


async def _nothing(window: Window) -> str:
    return await window.page.locator("#nothing-text").inner_text()


async def test_a_page_that_reaches_no_instance_says_so(couple: Couple, up: Up) -> None:
    """And it does not invite its reader to start a conversation, which cannot work then; it goes on by itself."""
    ann = await couple.window(couple.users[0])
    await eventually(lambda: _says(ann, "Start a conversation"), within=WITHIN)
    assert await ann.page.locator("#starts button").count() > 0
    await up.lose("instance-1", "instance-2")
    await eventually(lambda: _says(ann, "No instance can be reached"), within=WITHIN)
    assert await ann.page.locator("#starts button").count() == 0
    for name in ("instance-1", "instance-2"):
        await up.start_again(name)
    await eventually(lambda: _says(ann, "Start a conversation"), within=45)


async def _says(window: Window, text: str) -> bool:
    return (await _nothing(window)).startswith(text)


async def test_a_page_that_is_loaded_while_no_instance_is_there_says_so_and_comes_by_itself(couple: Couple, up: Up) -> None:
    """The reader has just been told to kill instances: a reload must not look like a working page, nor end in a dead end."""
    ann = await couple.window(couple.users[0])
    await up.lose("instance-1", "instance-2")
    await eventually(lambda: _is_refused(up), within=WITHIN)
    await ann.page.reload()
    assert await ann.page.locator("h1").inner_text() == "No instance answers"
    await up.start_again("instance-1")
    await eventually(ann.is_connected, within=45)
    await up.start_again("instance-2")


async def _is_refused(up: Up) -> bool:
    async with httpx.AsyncClient(verify=False) as client:
        return (await client.get(f"{up.url}/")).status_code == 503


async def test_what_waits_to_be_sent_outlives_a_reload_and_is_stored_once(couple: Couple, up: Up) -> None:
    """A reader who sees that nothing moves reloads the page: what was written must not be gone, nor come twice."""
    ann, bob = await couple.windows()
    await ann.say("before")
    await bob.sees("before")
    await up.lose("instance-1", "instance-2")
    await ann.say("kept one")
    await ann.say("kept two")
    await ann.sees("before", "kept one", "kept two")
    assert (await ann.states())[1:] == ["pending", "pending"]
    await ann.page.reload()
    for name in ("instance-1", "instance-2"):
        await up.start_again(name)
    await eventually(ann.is_connected, within=45)
    await eventually(bob.is_connected, within=45)
    await bob.sees("before", "kept one", "kept two")
    await ann.sees("before", "kept one", "kept two")
    await ann.page.reload()
    await ann.sees("before", "kept one", "kept two")


async def test_offline_shows_at_once(couple: Couple) -> None:
    """Without a network a socket ends without a word: a missing pong tells it most of a minute later."""
    ann = await couple.window(couple.users[0])
    await ann.page.context.set_offline(True)
    await eventually(lambda: _has_state(ann, "offline"), within=3)
    assert "no network" in await ann.find("status").inner_text()
    assert "no network" in await _nothing(ann)
    await ann.page.context.set_offline(False)
    await eventually(ann.is_connected, within=WITHIN)


async def _has_state(window: Window, state: str) -> bool:
    return await window.find("status").get_attribute("data-state") == state


async def test_a_conversation_created_with_its_first_message_never_reads_no_messages_yet(couple: Couple, up: Up) -> None:
    """Its notice and its first message come one behind the other; the page shows the message and counts it, in every case."""
    ann, bob = couple.users
    window = await couple.window(bob, before=_WATCH_LIST)
    async with await _rest(up, ann) as rest:
        for number in range(1, 6):
            created = (await rest.post("/conversations", json={"members": [bob], "title": f"talk {number}"})).json()
            path = f"/conversations/{created['conversation_id']}/messages"
            await rest.post(path, json={"client_message_id": "first", "body": f"first of {number}"})
            await eventually(lambda wanted=number: _previews(window, wanted), within=WITHIN)  # type: ignore[misc]  # its default is typed by the value
        assert "No messages yet" not in await window.page.evaluate("window.seen")
        # Likewise in a page that is loaded while the store's summary has no last message yet.
        await window.page.reload()
        await eventually(lambda: _previews(window, 5), within=WITHIN)
        assert "No messages yet" not in await window.page.evaluate("window.seen")


async def _previews(window: Window, count: int) -> bool:
    lines = await window.page.locator("#conversations .last").all_inner_texts()
    return sorted(lines) == [f"first of {number}" for number in range(1, count + 1)]


async def test_a_conversation_without_messages_says_so_in_the_end(couple: Couple, up: Up) -> None:
    """The words are held back for a moment, not for ever."""
    ann, bob = couple.users
    window = await couple.window(bob)
    async with await _rest(up, ann) as rest:
        await rest.post("/conversations", json={"members": [bob]})
    await window.page.get_by_text("No messages yet").wait_for()


async def test_the_list_is_one_paged_call(browser: "Browser", couple: Couple, up: Up) -> None:
    """One call per conversation would be a thousand calls each time that a user with a thousand connects."""
    ann, bob = couple.users
    async with await _rest(up, ann) as rest:
        for numbers in (range(60), range(60, 120)):
            bodies = [{"members": [bob, "carl"], "title": f"room {number}"} for number in numbers]
            await asyncio.gather(*(rest.post("/conversations", json=body) for body in bodies))
    calls: list[str] = []
    window = Window(await (await browser.new_context()).new_page(), bob)
    window.page.on("request", lambda request: calls.append(_path(request)))
    await window.page.goto(f"{up.url}/?user={bob}")
    await eventually(lambda: _lists(window, 120), within=WITHIN)
    await window.find("composer").wait_for()
    listing = [path for path in calls if path == "/api/conversations"]
    one_by_one = [path for path in calls if path.startswith("/api/conversations/")]
    assert len(listing) == 1
    assert len(one_by_one) <= 2, "the conversation that is open, and its messages"


async def _lists(window: Window, count: int) -> bool:
    return await window.page.locator("#conversations li").count() == count


def _path(request: "Request") -> str:
    return httpx.URL(request.url).path
