"""A release whose Redis is not its own: a rollout whose pods cannot reach that Redis stops, and the pods of before go on."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import httpx
import pytest

from support.chart import Object
from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.fixtures_kubernetes import Release
from support.helm import CHART, helm
from support.kit import SECRET, kubectl

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]

_OUTSIDE: Final = "chat-outside"
_PASSWORD: Final = "a-password-of-tests"
_PAUSE_SECONDS: Final = 0.25
_SELECTOR: Final = "app.kubernetes.io/component=chat"
_LABELS: Final = {"app": "outside-redis"}
_REDIS: Final[tuple[dict[str, Any], ...]] = (
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "outside-redis", "labels": _LABELS},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "redis",
                    "image": "docker.io/library/redis:7",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["redis-server", "--save", "", "--requirepass", _PASSWORD],
                    "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
                }
            ],
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "outside-redis"},
        "spec": {"selector": _LABELS, "ports": [{"port": 6379}]},
    },
    *(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"password": password}}
        for name, password in (("right", _PASSWORD), ("wrong", "another-password"))
    ),
)


def inside(*arguments: str) -> str:
    """kubectl, in the namespace of that release."""
    return kubectl("-n", _OUTSIDE, *arguments)


def pods() -> dict[str, Object]:
    """The chat pods, by name."""
    return {each["metadata"]["name"]: each for each in json.loads(inside("get", "pods", "-l", _SELECTOR, "-o", "json"))["items"]}


@dataclass(frozen=True)
class Outside:
    """The release, as its clients reach it."""

    url: str

    @property
    def ws_url(self) -> str:
        """The socket."""
        return self.url.replace("http://", "ws://") + "/ws"


@pytest.fixture
def outside(release: Release) -> Iterator[Outside]:
    """Two pods that are ready, with a Redis from its own manifest; the store is the other release's emulator, another project."""
    kubectl("create", "namespace", _OUTSIDE)
    try:
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": _REDIS})
        applied = subprocess.run(
            ["kubectl", "-n", _OUTSIDE, "apply", "-f", "-"], input=manifest, text=True, check=False, timeout=60
        )
        assert applied.returncode == 0
        values = (
            f"firestore.project=outside,firestore.emulatorHost={release.environ['FIRESTORE_EMULATOR_HOST']},auth.secret={SECRET}",
            "redis.inCluster.enabled=false,redis.host=outside-redis,redis.existingSecret=right",
            "replicaCount=2,controller.enabled=false,maxSurge=1",
        )
        chart = (str(CHART), "-n", _OUTSIDE, "-f", str(CHART / "ci" / "cluster-values.yaml"), "--set", ",".join(values))
        done = helm("install", "holdfast", *chart, "--wait", "--timeout", "90s", seconds=120)
        assert done.returncode == 0, done.stderr + inside("get", "pods", "-o", "wide")
        port = inside("get", "service", "holdfast", "-o", "jsonpath={.spec.ports[0].nodePort}")
        yield Outside(f"http://10.88.0.11:{port}")
    finally:
        kubectl("delete", "namespace", _OUTSIDE, "--wait=false")


@dataclass
class Talk:
    """One user writes to another without a pause worth mentioning; `said` is what was acknowledged, in order."""

    writer: Chatter
    conversation: str
    said: list[str] = field(default_factory=list)
    is_over: bool = False

    async def run(self) -> None:
        """Until `is_over`; an error instead of an `ack` ends it."""
        while not self.is_over:
            body = f"message {len(self.said)}"
            answer = await self.writer.say(self.conversation, body)
            assert answer["type"] == "ack", answer
            self.said.append(body)
            await asyncio.sleep(_PAUSE_SECONDS)  # a client that writes all the time


@pytest.fixture
async def talk(outside: Outside) -> AsyncIterator[Talk]:
    """Under way; at its end the reader has been shown what was acknowledged and nothing else, and no connection was closed."""
    async with Chatter(outside, "alice") as alice, Chatter(outside, "bob") as bob:
        talk = Talk(alice, await new_conversation(outside, "alice", "bob"))
        talking = asyncio.create_task(talk.run())
        yield talk
        talk.is_over = True
        await talking
        assert talk.said
        await bob.receive("message", within=30, body=talk.said[-1])
        assert [message["body"] for message in bob.messages(talk.conversation)] == talk.said
        assert (alice.close_code, bob.close_code) == (None, None)


async def test_rollout_to_a_redis_that_cannot_be_reached_fails_and_old_pods_serve(outside: Outside, talk: Talk) -> None:
    """First a host that is not there, then a password that is wrong: `helm upgrade --wait` fails, the new pod says why."""
    before = set(pods())
    await _fails("redis.host=nowhere")
    (isolated,) = set(pods()) - before
    await eventually(partial(_is_told_that_others_see_redis, isolated), within=60)
    assert not _is_ready(pods()[isolated])
    assert all(_is_ready(pods()[name]) for name in before)

    await _fails("redis.host=outside-redis,redis.existingSecret=wrong")
    (denied,) = set(pods()) - before - {isolated}
    await eventually(partial(_has_ended_with, denied, "HOLDFAST_REDIS__PASSWORD"), within=60)
    assert not _is_ready(pods()[denied])
    assert all(_is_ready(pods()[name]) for name in before)


async def _fails(values: str) -> None:
    arguments = (str(CHART), "-n", _OUTSIDE, "--reuse-values", "--set", values, "--wait", "--timeout", "20s")
    done = await asyncio.to_thread(helm, "upgrade", "holdfast", *arguments, seconds=60)
    assert done.returncode != 0, done.stdout


def _is_ready(pod: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


async def _is_told_that_others_see_redis(pod: str) -> bool:
    address = pods()[pod]["status"].get("podIP")
    try:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=5) as client:
            answer = await client.get(f"http://{address}:9000/readyz?verbose")
    except httpx.HTTPError:
        return False  # it starts
    return answer.status_code == 503 and "Isolated: OthersSeeRedis" in answer.text


def _has_ended_with(pod: str, words: str) -> bool:
    """The last line of a container of this pod that has ended."""
    asked = ["kubectl", "-n", _OUTSIDE, "logs", pod, "--previous", "--tail=1"]
    return words in subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60).stdout
