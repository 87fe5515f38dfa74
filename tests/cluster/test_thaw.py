"""An instance that stood still has missed all changes meanwhile, and must not act as if it had not."""

import signal
from pathlib import Path

import pytest

from support.chatting import Chatter, Rest, new_conversation
from support.instances import Instances
from support.redis_server import RedisServer


@pytest.fixture
def frozen_instances(redis7: RedisServer, firestore_store: dict[str, str], tmp_path: Path) -> Instances:
    """On Firestore: a frozen process may hold SQLite's lock."""
    return Instances(tmp_path, redis7.url, firestore_store["HOLDFAST_STORE__URL"], **firestore_store)


async def test_who_was_removed_while_the_instance_was_frozen_hears_nothing_after_it(frozen_instances: Instances) -> None:
    """Removal and message wait in the same buffer; the members of before must not be believed for the second."""
    a, b = await frozen_instances.start("instance-1", "instance-2")
    try:
        c = await new_conversation(b, "alice", "bob", "carol")
        async with Chatter(b, "alice") as alice, Chatter(a, "bob") as bob, Chatter(a, "carol") as carol, Rest(b, "alice") as rest:
            await alice.say(c, "for all")
            for device in (bob, carol):
                await device.receive("message", body="for all")
            a.signal(signal.SIGSTOP)
            assert (await rest.delete(f"/api/conversations/{c}/members/bob")).status_code == 204
            for number in range(3):
                await alice.say(c, f"not for bob {number}")
            a.signal(signal.SIGCONT)
            await bob.receive("conversation", event="member_removed")
            await carol.receive("message", body="not for bob 2")
            assert [frame["body"] for frame in bob.messages(c)] == ["for all"]
            assert carol.seqs(c) == [1, 2, 3, 4]
    finally:
        frozen_instances.close()
    frozen_instances.assert_quiet()
