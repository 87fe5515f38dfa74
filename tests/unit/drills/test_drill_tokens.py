"""Whose tokens a drill on a cluster uses: what the release itself believes."""

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest

from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.drills.kubernetes.tokens import printed
from holdfast.launcher.waiting import TargetFailed
from support.eventually import eventually
from support.fixtures_kubectl import World

SECRET = "a-secret-of-tests-that-is-long-enough"


def objects(*variables: dict[str, Any]) -> dict[str, Any]:
    """A release with these variables, whose tokens are signed with the Secret of another team."""
    template = {"spec": {"containers": [{"name": "sidecar"}, {"name": "holdfast", "env": list(variables)}]}}
    return {
        "namespace/mine": {"metadata": {"labels": {"holdfast.dev/drills": "allowed"}}},
        "deployment/holdfast": {"spec": {"template": template}},
        "secret/tokens-of-sso": {"data": {"hmac": base64.b64encode(SECRET.encode()).decode()}},
    }


def signed_by(key: str) -> dict[str, Any]:
    """As the chart writes it for `auth.existingSecret`."""
    return {"name": "HOLDFAST_AUTH__SECRET", "valueFrom": {"secretKeyRef": {"name": "tokens-of-sso", "key": key}}}


async def test_tokens_have_the_secret_the_issuer_and_the_audience_of_the_release(world: World) -> None:
    """With `auth.existingSecret` there is no Secret of the release's name, and other issuers are refused."""
    issuer = {"name": "HOLDFAST_AUTH__ISSUER", "value": "https://sso.example"}
    audience = {"name": "HOLDFAST_AUTH__AUDIENCE", "value": "chat"}
    store = {"name": "HOLDFAST_STORE__URL", "value": "firestore://my-project"}
    world.write(objects=objects(issuer, audience, store, signed_by("hmac")))
    cluster = Cluster("context", "mine", "holdfast")
    await cluster.enter()
    claims = jwt.decode(cluster.token("ann"), SECRET, ["HS256"], audience="chat", issuer="https://sso.example")
    assert (claims["sub"], cluster.store) == ("ann", "firestore")


async def test_a_secret_that_the_release_has_as_a_file_is_found(world: World) -> None:
    """As the chart mounts it."""
    there = objects({"name": "HOLDFAST_AUTH__SECRET_FILE", "value": "/etc/holdfast/secrets/HOLDFAST_AUTH__SECRET"})
    sources = [
        {"configMap": {"name": "another"}},
        {"secret": {"name": "redis", "items": [{"key": "password", "path": "HOLDFAST_REDIS__PASSWORD"}]}},
        {"secret": {"name": "tokens-of-sso", "items": [{"key": "hmac", "path": "HOLDFAST_AUTH__SECRET"}]}},
    ]
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "secrets", "projected": {"sources": sources}}]
    there["deployment/holdfast"]["spec"]["template"]["spec"]["volumes"] = volumes
    world.write(objects=there)
    cluster = Cluster("context", "mine", "holdfast")
    await cluster.enter()
    assert jwt.decode(cluster.token("ann"), SECRET, ["HS256"], audience="holdfast")["sub"] == "ann"


async def test_a_line_end_of_the_secret_is_no_part_of_it(world: World) -> None:
    """Instances read it without; a drill that signed with it would be refused."""
    there = objects(signed_by("hmac"))
    there["secret/tokens-of-sso"] = {"data": {"hmac": base64.b64encode(f"{SECRET}\n".encode()).decode()}}
    world.write(objects=there)
    cluster = Cluster("context", "mine", "holdfast")
    await cluster.enter()
    assert jwt.decode(cluster.token("ann"), SECRET, ["HS256"], audience="holdfast")["sub"] == "ann"


async def test_a_release_without_a_secret_is_refused_in_plain_words(world: World) -> None:
    """With a JWKS the key that signs is nowhere in the cluster; a traceback about a missing Secret would not say so."""
    world.write(objects=objects({"name": "HOLDFAST_AUTH__JWKS_URL", "value": "https://sso.example/keys"}))
    with pytest.raises(TargetFailed, match="no secret to sign tokens with"):
        await Cluster("context", "mine", "holdfast").enter()
    world.write(objects=objects(signed_by("absent")))
    with pytest.raises(TargetFailed, match="secret tokens-of-sso has no key absent"):
        await Cluster("context", "mine", "holdfast").enter()


def command(path: Path, *lines: str) -> tuple[str, ...]:
    """A program of an operator, with an argument of its own; the user's id is in `user`."""
    told = ("import sys, time, jwt", "assert sys.argv[1] == '--for'", "user = sys.argv[2]", *lines)
    path.write_text("\n".join(told))
    return (sys.executable, str(path), "--for")


PRINTS = f"print(jwt.encode({{'sub': user, 'exp': int(time.time()) + 3600}}, {SECRET!r}))"


async def test_with_a_jwks_a_command_prints_the_tokens(world: World, tmp_path: Path) -> None:
    """The key that signs is nowhere in the cluster. During the drill the command is not run: it would hold up all users."""
    world.write(objects=objects({"name": "HOLDFAST_AUTH__JWKS_URL", "value": "https://sso.example/keys"}))
    cluster = Cluster("context", "mine", "holdfast", command(tmp_path / "idp.py", PRINTS))
    await cluster.enter()
    await cluster.take_tokens(["ann", "bob"])
    assert [jwt.decode(cluster.token(user), SECRET, ["HS256"])["sub"] for user in ("ann", "bob")] == ["ann", "bob"]
    with pytest.raises(TargetFailed, match="no token of cyd"):
        cluster.token("cyd")
    assert not cluster.signs_tokens


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (("sys.exit('not logged in')",), "exit 1 for ann: not logged in"),
        (("print('Welcome!')",), "no JWT"),
        (("user = 'robot'", PRINTS), "the token for ann is of 'robot'"),
        ((PRINTS.replace("3600", "60"),), "does not last 10 minutes"),
    ],
)
async def test_a_command_that_prints_no_good_token_ends_the_drill_before_anything_is_broken(
    tmp_path: Path, lines: tuple[str, ...], problem: str
) -> None:
    """Later it would look like a failure of the service."""
    with pytest.raises(TargetFailed, match=problem):
        await printed(command(tmp_path / "idp.py", *lines), ["ann"])
    with pytest.raises(TargetFailed, match=r"--token-command: .*no-such-program"):
        await printed(("no-such-program",), ["ann"])


async def test_command_of_a_drill_that_is_interrupted_is_over_with_it(tmp_path: Path) -> None:
    """A process that is killed and not waited for is a zombie of the drill, and its pipes stay open."""
    told = tmp_path / "pid"
    program = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()} '); time.sleep(60)"
    printing = asyncio.create_task(printed([sys.executable, "-c", program, str(told)], ["ann"]))
    await eventually(lambda: told.exists() and told.read_text().endswith(" "))
    printing.cancel()
    await asyncio.gather(printing, return_exceptions=True)
    assert not Path("/proc", told.read_text().strip()).exists()


async def test_release_is_found_by_its_labels_and_described_for_the_report(world: World) -> None:
    """With `fullnameOverride` its objects have another name; a report without versions cannot be compared with the next one."""
    labels = {"app.kubernetes.io/instance": "mine", "app.kubernetes.io/component": "chat", "helm.sh/chart": "holdfast-0.1.0"}
    containers = [{"name": "sidecar"}, {"name": "holdfast", "image": "holdfast:1", "env": [signed_by("hmac")]}]
    there = {"metadata": {"name": "messages", "labels": labels}, "spec": {"template": {"spec": {"containers": containers}}}}
    another = {"metadata": {"name": "other", "labels": labels | {"app.kubernetes.io/instance": "other"}}, "spec": {}}
    named = {"deployment/messages": there, "deployment/other": another, "--raw//version": {"gitVersion": "v1.34.4"}}
    world.write(objects=objects() | named)
    cluster = Cluster("context", "mine", "mine")
    await cluster.enter()
    assert cluster.deployment == "messages"
    assert cluster.ran_on == "image holdfast:1, chart holdfast-0.1.0, Kubernetes v1.34.4"
