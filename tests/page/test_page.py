"""The chat page in a real browser, two people in two windows on two instances, before a real `holdfast up`."""

import signal
from typing import TYPE_CHECKING

from holdfast.domain.conversations import direct_id
from holdfast.domain.ids import UserId
from support.eventually import eventually
from support.page import PHONE, WITHIN, Couple, Window, start
from support.up import Up

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser, Locator


async def test_two_windows_on_two_instances_talk(couple: Couple) -> None:
    """The first minute: a message, typing, a receipt, presence, through two instances."""
    ann, bob = await couple.windows()
    assert {await ann.instance(), await bob.instance()} == {"instance-1", "instance-2"}
    await ann.say("hello bob")
    await bob.sees("hello bob")
    await ann.page.locator('[data-testid=message][data-state=read][data-seq="1"]').wait_for()
    await bob.find("composer").get_by_role("textbox").press_sequentially("hi")
    await eventually(lambda: _says(ann, "typing", f"{bob.user} is typing"), within=WITHIN)
    await bob.say("hi ann")
    await ann.sees("hello bob", "hi ann")
    await eventually(lambda: _says(ann, "typing", ""), within=WITHIN)
    assert await ann.find(f"presence-{bob.user}").get_attribute("data-online") == "true"
    assert ann.complaints + bob.complaints == []


async def _says(window: Window, testid: str, text: str) -> bool:
    return await window.find(testid).inner_text() == text


async def test_the_page_carries_on_when_its_instance_is_killed(couple: Couple, up: Up) -> None:
    """C5: what was written meanwhile arrives, once, in order; the page names its new instance."""
    ann, bob = await couple.windows()
    await ann.say("before")
    await bob.sees("before")
    lost = await ann.instance()
    up.kill(lost)
    await ann.say("during one")
    await ann.say("during two")
    await bob.sees("before", "during one", "during two")
    await ann.sees("before", "during one", "during two")
    assert await ann.instance() != lost
    await bob.say("after")
    await ann.sees("before", "during one", "during two", "after")
    await eventually(lambda: _none_is(ann, "pending"), within=WITHIN)


async def test_the_page_moves_when_its_instance_drains(couple: Couple, up: Up) -> None:
    """A rolling deployment asks for this of every client."""
    ann, bob = await couple.windows()
    leaving = await bob.instance()
    up.kill(leaving, signal.SIGTERM)

    async def has_moved() -> bool:
        return await bob.is_connected() and await bob.find("instance").inner_text() != leaving

    try:
        await eventually(has_moved, within=WITHIN)
    except AssertionError:
        shown = [await bob.find(each).inner_text() for each in ("status", "instance")]
        raise AssertionError(f"not moved from {leaving}: the page shows {shown}; {up.output[-1_000:]}") from None
    await ann.say("still there?")
    await bob.sees("still there?")


async def test_the_page_says_that_redis_is_gone_and_goes_on(couple: Couple, up: Up) -> None:
    """C10: degraded, across instances, and told to the reader."""
    ann, bob = await couple.windows()
    up.kill("redis")
    await ann.find("degraded").wait_for()
    assert "redis" in await ann.find("degraded").inner_text()
    await ann.say("without redis")
    await bob.sees("without redis")
    await eventually(lambda: "redis is gone" in up.output)
    await up.start_again("redis")
    await ann.find("degraded").wait_for(state="hidden")


async def test_what_people_write_is_text(couple: Couple) -> None:
    """In the thread, in the list and as a title."""
    ann, bob = await couple.windows()
    evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>&lt;b&gt;'
    await ann.say(evil)
    await bob.sees(evil)
    assert await bob.page.locator("img, #messages script, #conversations b").count() == 0
    assert ann.complaints + bob.complaints == []


async def test_addresses_can_be_clicked_and_lead_where_they_say(couple: Couple) -> None:
    """A link is an address of the web that hides nothing. Everything else stays text, to the letter."""
    ann, bob = await couple.windows()
    text = "See https://one.example/a_(b), (http://two.example/?q=1). javascript:alert(1) https://bank.example@evil.example/"
    await ann.say(text)
    await bob.sees(text)
    links = await bob.page.locator("#messages a").evaluate_all("all => all.map(({href, rel, target}) => [href, rel, target])")
    rel = "noopener noreferrer nofollow"
    assert links == [["https://one.example/a_(b)", rel, "_blank"], ["http://two.example/?q=1", rel, "_blank"]]
    assert ann.complaints + bob.complaints == []


async def test_a_group_says_who_has_read(couple: Couple) -> None:
    """Two ticks mean all of them; until then it is of interest which."""
    ann, bob = await couple.window(couple.users[0]), await couple.window(couple.users[1])
    await start(ann, f"{bob.user}, carl")
    await bob.find("composer").wait_for()
    await ann.say("who is there?")
    await bob.sees("who is there?")
    await ann.page.get_by_text(f"Read by {bob.user}", exact=True).wait_for()
    assert await ann.states() == ["sent"]


async def test_unread_messages_are_counted_until_they_are_seen(couple: Couple) -> None:
    """On a phone the list is a pane of its own: nothing is read while it shows."""
    ann = await couple.window(couple.users[0])
    bob = await couple.window(couple.users[1], PHONE)
    await start(ann, bob.user)
    await ann.say("one")
    await ann.say("two")
    entry = bob.find(f"conversation-{direct_id(*map(UserId, couple.users))}")
    await eventually(lambda: _unread(entry, "2"), within=WITHIN)
    await eventually(lambda: _are(ann, "sent"), within=WITHIN)  # an ack may come after the message at the other's
    await entry.click()
    await bob.sees("one", "two")
    await eventually(lambda: _unread(entry, "0"), within=WITHIN)
    await ann.page.locator('[data-testid=message][data-state=read][data-seq="2"]').wait_for()
    await bob.page.get_by_label("Back to the conversations").click()
    await ann.say("three")
    await eventually(lambda: _unread(entry, "1"), within=WITHIN)
    await entry.click()
    await bob.sees("one", "two", "three")
    shown = await bob.page.locator("#messages > li").evaluate_all(
        "all => all.map((each) => each.dataset.seq ?? each.dataset.testid)"
    )
    assert shown[-4:] == ["1", "2", "new", "3"], "a line before what the reader has not seen"
    assert await bob.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


async def _none_is(window: "Window", state: str) -> bool:
    return state not in await window.states()


async def _are(window: "Window", state: str) -> bool:
    return set(await window.states()) == {state}


async def _unread(entry: "Locator", count: str) -> bool:
    return await entry.count() == 1 and await entry.get_attribute("data-unread") == count


async def test_history_is_paged_and_survives_a_reload(couple: Couple) -> None:
    """A fresh page has no cursor: it pages by REST and sees the same."""
    ann, bob = await couple.windows()
    texts = [f"message {number}" for number in range(1, 71)]
    for text in texts:
        await ann.say(text)
    await bob.sees(*texts)
    await bob.page.reload()
    await bob.page.locator('[data-testid=message][data-seq="70"]').wait_for()
    await bob.page.locator("#scroll").evaluate("box => { box.scrollTop = 0; }")
    await bob.sees(*texts)


_FAINT = """
(hue) => {
  for (const each of document.querySelectorAll("[style*=hue]")) each.style.setProperty("--hue", hue);
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const part = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([red, green, blue]) => 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
  const chain = (element) => (element ? [element, ...chain(element.parentElement)] : []);
  const backgrounds = (element) => chain(element).map((each) => channels(getComputedStyle(each).backgroundColor));
  const ground = (element) => backgrounds(element).find((each) => each[3] !== 0);
  const contrast = (element) => {
    const [one, other] = [light(channels(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    return chain(element).some((each) => getComputedStyle(each).opacity < 1) ? 0 : (one + 0.05) / (other + 0.05);
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const unseen = ".visually-hidden, .skip, .toast, :disabled, svg, dialog";
  const isSeen = (element) => element.checkVisibility() && !element.closest(unseen);
  return [...document.body.querySelectorAll("*")].filter((each) => hasText(each) && isSeen(each) && contrast(each) < 4.5)
    .map((each) => `${each.className || each.tagName}: ${contrast(each).toFixed(2)}`);
}
"""


async def test_text_can_be_read_in_light_and_in_dark(couple: Couple, up: Up) -> None:
    """A contrast of 4.5, whatever colour a name gets, of messages that wait and of an instance that is gone too."""
    ann, bob = await couple.windows()
    await start(ann, f"{bob.user}, carl, dora-2")
    await ann.page.get_by_role("heading", name="carl").wait_for()
    await bob.page.locator("#conversations button", has_text="carl").click()
    await bob.page.get_by_role("heading", name="carl").wait_for()
    for window, text in ((ann, "to all https://one.example"), (bob, "to you https://two.example")):
        await window.say(text)
    await ann.sees("to all https://one.example", "to you https://two.example")
    await bob.page.get_by_test_id("readers").wait_for()
    await up.lose("instance-1", "instance-2")
    await bob.say("waits")
    for scheme in ("light", "dark"):
        await bob.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its literals
        for hue in range(0, 360, 60):
            assert await bob.page.evaluate(_FAINT, hue) == []


async def test_somebody_is_picked_with_a_click(browser: "Browser", up: Up) -> None:
    """Without ?user= the page asks, and offers the names of the guide."""
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{up.url}/")
    await page.get_by_test_id("user-picker").wait_for()
    await page.get_by_test_id("user-option-user123").click()
    window = Window(page, "user123")
    await eventually(window.is_connected, within=WITHIN)
    assert page.url.startswith(f"{up.url}/?user=user123")


async def test_everything_can_be_reached_by_keyboard(couple: Couple) -> None:
    """Tab from the address bar: the skip link first, then the controls, with a visible focus."""
    ann, _ = await couple.windows()
    await ann.page.reload()
    await ann.find("composer").wait_for()
    await ann.page.locator("body").evaluate("() => document.activeElement.blur()")
    reached = []
    for _ in range(8):
        await ann.page.keyboard.press("Tab")
        reached.append(await ann.page.evaluate("document.activeElement.id || document.activeElement.dataset.testid"))
    assert {"me", "new-conversation", "scroll", "draft"} <= set(reached)
