"""Two live processes under one `INSTANCE_ID`: an operator's mistake, or a node of Kubernetes that was given up and lives."""

from functools import partial
from typing import Any

import httpx
from redis.asyncio import Redis

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving
from support.store_view import StoreView, view_of


async def _health(instance: Serving) -> dict[str, Any]:
    async with httpx.AsyncClient(verify=False) as client:
        return dict((await client.get(f"{instance.url}/api/health", timeout=5)).json())


async def _has_yielded(instance: Serving) -> bool:
    conditions = {each["type"]: each["status"] for each in (await _health(instance))["conditions"]}
    return conditions["InstanceIdUnique"] == "False"


async def _is_registered(operator: Redis, user_id: str, name: str) -> bool:
    records = await operator.hvals(f"connections:{user_id}")
    is_indexed = await operator.sismember(f"subscriptions:{name}", f"user:{user_id}")
    return len(records) == 1 and f'"{name}"' in records[0] and bool(is_indexed)


async def _is_present_under(view: StoreView, user_id: str, epoch: str) -> bool:
    """In one run: it is named after the `INSTANCE_ID`, whatever name the instance had to take since."""
    return bool((await view.user(user_id)).get("on", []) == [f"instance-1:{epoch}"])


async def _is_present_elsewhere(view: StoreView, user_id: str, epoch: str) -> bool:
    """In one run of that name, which is another one."""
    on = (await view.user(user_id)).get("on", [])
    return len(on) == 1 and on[0].startswith("instance-1:") and not on[0].endswith(epoch)


async def _is_offline(view: StoreView, user_id: str) -> bool:
    return not (await view.user(user_id))["online"]


async def test_the_older_of_two_processes_goes_on_under_another_name(instances: Instances, operator: Redis) -> None:
    """Its users stay where they are, are found there, hear everything, and are taken offline when it dies."""
    (older,) = await instances.start("instance-1")
    c = await new_conversation(older, "alice", "bob", "carol")
    async with Chatter(older, "alice") as alice, view_of(instances) as view:
        await eventually(partial(_is_registered, operator, "alice", "instance-1"))
        (younger,) = await instances.start("instance-1")
        async with Chatter(younger, "bob") as bob:
            await eventually(partial(_has_yielded, older))
            name = (await _health(older))["instance_id"]
            assert name.startswith("instance-1.")
            assert (await _health(younger))["instance_id"] == "instance-1"
            await eventually(partial(_is_registered, operator, "alice", name))
            await eventually(partial(_is_registered, operator, "bob", "instance-1"))
            epoch = name.partition(".")[2]
            await eventually(partial(_is_present_under, view, "alice", epoch))
            await eventually(partial(_is_present_elsewhere, view, "bob", epoch))
            async with Chatter(older, "carol") as carol:
                assert carol.frames[0]["instance_id"] == name
                await alice.say(c, "from the older")
                await bob.say(c, "from the younger")
                for device in (alice, bob, carol):
                    await device.receive("message", body="from the older")
                    await device.receive("message", body="from the younger")
                await bob.ask(type="typing", conversation_id=c, active=True)
                await alice.receive("typing", user_id="bob")
            older.kill()
            await eventually(partial(_is_offline, view, "alice"), within=45)
            assert await operator.exists(f"instance:{name}", f"subscriptions:{name}", "connections:alice") == 0
            assert not await _has_yielded(younger)
            assert await _is_registered(operator, "bob", "instance-1")
