"""The rights that the chart gives pods in the Redis of the release: enough for everything, and no more."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import ResponseError

import holdfast
from holdfast.adapters.redis import keys
from holdfast.cli.status import leases
from holdfast.domain.ids import ConversationId, InstanceId, UserId
from holdfast.settings import RedisSettings
from support.chart import MINIMAL, only
from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.helm import render
from support.instances import Instances
from support.redis_server import SYSTEM, RedisServer, require_binary


def rules() -> list[str]:
    """As the chart hands them to Redis."""
    (container,) = only(render(*MINIMAL), "StatefulSet", "holdfast-redis")["spec"]["template"]["spec"]["containers"]
    arguments: list[str] = container["args"]
    assert arguments[arguments.index("--user") + 1 :][:2] == ["holdfast", "on"]
    return arguments[arguments.index("--user") + 3 :]


@pytest.fixture
async def guarded() -> Iterator[RedisServer]:
    """A Redis with that user beside the operator's user, which has no password here."""
    server = RedisServer(require_binary(SYSTEM), "--user", "holdfast", "on", ">pw", *rules())
    await server.start()
    yield server
    server.close()


def test_every_key_and_channel_of_holdfast_is_in_the_rules_and_no_other() -> None:
    """A new kind of key is written down there on purpose."""
    given = {each[1:].removesuffix("*") for each in rules() if each.startswith("~")}
    assert given == set(keys._KINDS)
    named = (keys.conversation_channel(ConversationId("")), keys.user_channel(UserId("")), keys.control_channel(InstanceId("")))
    assert {each[1:].removesuffix("*") for each in rules() if each.startswith("&")} == set(named)


def test_every_command_of_the_code_is_in_the_rules() -> None:
    """One that is used seldom, by `holdfast status` for one, would be refused long after the upgrade."""
    given = {each[1:].partition("|")[0] for each in rules() if each.startswith("+")}
    used = set()
    for folder in ("adapters/redis", "cli/status", "controller"):
        for path in (Path(holdfast.__file__).parent / folder).rglob("*.*"):
            if path.suffix in (".py", ".lua"):
                used |= set(re.findall(r"""(?:call|execute_command)\(\s*["']([A-Z]+)["']""", path.read_text(encoding="utf-8")))
    assert {"ZRANGE", "ZCARD", "HMGET"} <= used
    assert {each.lower() for each in used} <= given


def test_no_right_is_a_whole_category() -> None:
    """`+@all` would give the next command of the next Redis away, too."""
    assert "-@all" in rules()
    assert not [each for each in rules() if each.startswith("+@")]


async def test_instances_do_all_they_do_with_these_rights(guarded: RedisServer, tmp_path: Path) -> None:
    """Registered, heard across instances, replayed, drained and reaped, and Redis refused nothing: `ACL LOG` is empty.

    Without a secret of the bus, where instances use Redis the most; the tests on a cluster look at the same log with one.
    """
    environ = {"HOLDFAST_REDIS__PASSWORD": "pw", "HOLDFAST_PRESENCE__GRACE_SECONDS": "1"}
    url = guarded.url.replace("redis://", "redis://holdfast@")
    instances = Instances(tmp_path, url, f"sqlite:///{tmp_path}/holdfast.db", **environ)
    with Redis(port=guarded.port, decode_responses=True) as operator:
        try:
            one, two = await instances.start("one", "two")
            c = await new_conversation(one, "alice", "bob")
            async with Chatter(one, "alice") as alice:
                async with Chatter(two, "bob") as bob:
                    ack = await alice.say(c, "hello")
                    assert (await bob.receive("message", conversation_id=c))["body"] == "hello"
                    assert (await bob.ask(type="typing", conversation_id=c, active=True))["type"] == "ok"
                    await alice.receive("typing", user_id="bob")
                    assert (await bob.ask(type="read", conversation_id=c, message_id=ack["message_id"]))["type"] == "ok"
                    await alice.receive("receipt", user_id="bob")
                    async with Rest(one, "alice") as rest:
                        assert (await rest.put(f"/api/conversations/{c}/members/carl")).status_code == 201
                        assert len((await rest.get("/api/connections/info")).json()["connections"]) == 1
                await alice.say(c, "while bob is away")
                back = await Chatter(one, "bob").connect({c: ack["seq"]})
                await back.receive("message", body="while bob is away")
                await back.close()
                async with Chatter(two, "bob"):
                    two.kill()
                    await eventually(partial(_is_alone, operator))
                    assert not operator.exists("instance:two", "subscriptions:two")
            fleet = await leases.read(RedisSettings(url=url, password=SecretStr("pw")))
            assert [each.instance_id for each in fleet.instances] == ["one"], "what `holdfast status` shows"
            one.stop()
            assert not operator.exists("instance:one")
            assert operator.execute_command("ACL", "LOG") == []
            assert "NOPERM" not in "".join(each.log() for each in instances.all)
        finally:
            instances.close()


def _is_alone(operator: Redis) -> bool:
    return operator.smembers(keys.INSTANCES) == {"one"}


async def test_whoever_has_the_pods_password_can_neither_look_around_nor_wipe(guarded: RedisServer) -> None:
    """A stolen password of a pod is not an operator's."""
    with Redis(port=guarded.port, username="holdfast", password="pw") as pod:
        for command in (
            ("KEYS", "*"), ("SCAN", "0"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("MONITOR",),
            ("GET", "another"), ("PUBLISH", "another", "x"), ("CLIENT", "KILL", "ID", "1"), ("SHUTDOWN",), ("PSUBSCRIBE", "*"),
            ("EVAL", "return redis.call('get', 'another')", "0"), ("REPLICAOF", "host", "1"), ("SUBSCRIBE", "another"),
        ):  # fmt: skip
            with pytest.raises(ResponseError, match=r"(?i)no permission|can't access"):
                pod.execute_command(*command)
