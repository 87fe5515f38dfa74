"""A change of members whose answer from the store was lost: it is stored and not announced, and a repeated call finds it done."""

from pathlib import Path

import pytest

from holdfast.drills.local.proxy import Proxy
from support.chatting import Chatter, Rest, new_conversation
from support.emulator import Emulator
from support.fixtures_cluster import firestore_environ
from support.instances import Instances
from support.redis_server import RedisServer


async def test_who_was_removed_hears_nothing_more_though_the_answer_was_lost(
    redis7: RedisServer, firestore_emulator: Emulator, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The instance that asked finds out by itself and tells the others."""
    store = firestore_environ(request)
    instances = Instances(tmp_path, redis7.url, store["HOLDFAST_STORE__URL"], **store)
    async with Proxy(firestore_emulator.port) as proxy:
        try:
            (well,) = await instances.start("well")
            (lossy,) = await instances.start("lossy", FIRESTORE_EMULATOR_HOST=proxy.address)
            c = await new_conversation(well, "ann", "ben")
            async with Chatter(well, "ann") as ann, Chatter(well, "ben") as ben, Rest(lossy, "ann") as rest:
                await ann.say(c, "with ben")
                await ben.receive("message", seq=1)
                assert (await rest.get(f"/api/conversations/{c}")).status_code == 200
                proxy.swallow_replies(after=b"membersVersion")
                assert (await rest.delete(f"/api/conversations/{c}/members/ben")).status_code == 503
                proxy.flow()
                proxy.cut()
                await ben.receive("conversation", conversation_id=c, event="member_removed", user_id="ben")
                await ann.say(c, "without ben")
                await ann.receive("message", seq=2)
                assert ben.seqs(c) == [1]
        finally:
            instances.close()
    instances.assert_quiet()
