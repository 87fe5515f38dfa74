"""The bot of `examples/python-bot`, with the client alone installed, before a real instance."""

import asyncio
from pathlib import Path

import pytest

from holdfast.client import CallFailed, Client
from support.helm import ROOT
from support.instances import Instances, token
from support.wheels import build_wheel, install_light, run_light

BOT = ROOT / "examples" / "python-bot" / "bot.py"


async def test_bot_needs_nothing_but_the_base_install(sqlite_instances: Instances, tmp_path: Path) -> None:
    """It connects, opens a conversation, reads its history, sends and answers; no package of the server is there."""
    (serving,) = await sqlite_instances.start("one")
    light = tmp_path / "light"
    install_light(await asyncio.to_thread(build_wheel, tmp_path), light)
    async with Client([serving.url], token("ann"), cursors={}) as ann, asyncio.timeout(60):
        conversation = await ann.rest.direct("bot")
        c = conversation.conversation_id
        await ann.send(c, "are you there?")
        environ = {"CHAT_URL": serving.url, "CHAT_TOKEN": token("bot")}
        bot = asyncio.create_task(asyncio.to_thread(run_light, light, str(BOT), "ann", **environ))
        said = []
        async for message in ann.messages():
            if message.sender == "bot":
                said.append(message.body)
                await ann.send(c, "hello" if len(said) == 1 else "bye")
            if len(said) == 2:
                break
        done = await bot
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 messages so far\nann: are you there?\n"
    assert said == ["I repeat what you say.", "hello"]


async def test_calls_go_on_at_another_instance(instances: Instances) -> None:
    """Each kind of call, on either store, while the instance of the client's socket is killed."""
    here, there = await instances.start("one", "two")
    async with Client([here.url, there.url], token("ann"), cursors={}) as ann, asyncio.timeout(60):
        await ann.connected()
        made = await ann.rest.create(["ben"], title="Team", metadata={"colour": "blue"}, conversation_id="team")
        assert (made.title, made.metadata, made.members, made.created_by) == ("Team", {"colour": "blue"}, ("ann", "ben"), "ann")
        ack = await ann.send("team", "one")
        (here if ann.instance_id == "one" else there).kill()
        assert (await ann.rest.create(["ben"], title="Team", conversation_id="team")).conversation_id == "team"
        assert (await ann.rest.add_member("team", "carl")).member_count == 3
        assert [each.user_id for each in await ann.rest.members("team")] == ["ann", "ben", "carl"]
        await ann.rest.remove_member("team", "carl")
        await ann.rest.remove_member("team", "carl")
        assert [each.user_id for each in await ann.rest.members("team")] == ["ann", "ben"]
        history = await ann.rest.history("team")
        assert [(each.body, each.message_id) for each in history.messages] == [("one", ack.message_id)]
        assert (await ann.rest.direct("ben")).conversation_id == (await ann.rest.direct("ben")).conversation_id
        await ann.rest.remove_member("team", "ann")
        with pytest.raises(CallFailed, match="conversation_not_found"):
            await ann.rest.history("team")
