"""An instance that is killed again within seconds of its restart: no user is forgotten."""

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.instances import Instances
from support.store_view import view_of


async def test_users_of_the_start_before_the_last_go_offline(sqlite_instances: Instances) -> None:
    """Each start has a bulletin of its own, and none takes another's away before its users are out."""
    one, two = await sqlite_instances.start("one", "two", HOLDFAST_PRESENCE__GRACE_SECONDS="5")
    c = await new_conversation(two, "ann", "ben")
    ann = await Chatter(one, "ann").connect()
    async with Chatter(two, "ben") as ben, view_of(sqlite_instances) as store:

        async def beats_of_one() -> list[int]:
            return [beat for run, beat in (await store.beats()).items() if run.startswith("one:")]

        async def has_long_beaten() -> bool:
            return max(await beats_of_one()) >= 6

        async def begins_anew() -> bool:
            return len(await beats_of_one()) == 2

        await ben.say(c, "hello")
        assert (await store.user("ann"))["online"] is True
        await eventually(has_long_beaten)
        one.kill()
        await ann.closed()
        await one.start()
        await eventually(begins_anew)
        one.kill()
        await one.start()
        await ben.receive("presence", within=40, user_id="ann", online=False)
        assert (await store.user("ann"))["online"] is False
