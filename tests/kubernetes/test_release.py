"""The chart and the image on a real cluster: installed from empty, looked at, broken, upgraded, and gone without a trace."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.cli import main
from holdfast.cli.drill.play import tell
from holdfast.drills.history import read_history
from holdfast.drills.kubernetes.run import run_on_kubernetes
from holdfast.drills.kubernetes.scenarios import CATALOGUE
from holdfast.drills.run import Options, Outcome
from support.eventually import eventually
from support.fixtures_kubernetes import Release
from support.helm import CHART, helm
from support.kit import NAMESPACE, in_namespace
from support.kit_drills import DRILLS

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]

CHAT = "app.kubernetes.io/instance=holdfast,app.kubernetes.io/component=chat"


def test_it_is_ready_within_a_minute_and_helm_test_passes(release: Release) -> None:
    """Two people, through the Service, at two pods."""
    assert release.took < 60
    done = helm("test", "holdfast", "-n", NAMESPACE, seconds=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Succeeded" in done.stdout


def test_pods_have_no_rights_and_write_nowhere(release: Release) -> None:
    """As the kernel says it."""
    inside = ("exec", "deploy/holdfast", "--", "sh", "-c")
    assert "CapEff:\t0000000000000000" in in_namespace(*inside, "cat /proc/1/status")
    assert "uid=10001" in in_namespace(*inside, "id")
    assert in_namespace(*inside, "touch /x 2>/dev/null || echo refused").strip() == "refused"
    assert in_namespace(*inside, "ls /var/run/secrets/kubernetes.io 2>/dev/null || echo none").strip() == "none"


def test_redis_is_closed_to_whoever_knows_no_password_and_open_to_an_operator_in_its_pod(release: Release) -> None:
    """The acceptance guide's commands need no password there; the pods' user has only the rights that it uses."""
    inside = ("exec", "holdfast-redis-0", "--")
    assert "instances" in in_namespace(*inside, "redis-cli", "keys", "*").split()
    assert "NOAUTH" in in_namespace(*inside, "env", "-u", "REDISCLI_AUTH", "redis-cli", "keys", "*")
    user = 'redis-cli --no-auth-warning --user holdfast -a "$HOLDFAST_REDIS__PASSWORD"'
    for command in ("keys '*'", "config get '*'", "flushall", "get another", "publish another x", "acl list"):
        assert "NOPERM" in in_namespace(*inside, "sh", "-c", f"{user} {command}"), command
    in_namespace(*inside, "redis-cli", "acl", "log", "reset")


def test_the_secrets_of_a_release_stay_as_they_are_when_it_is_applied_again(release: Release) -> None:
    """Another password at each upgrade would cut all pods off from Redis until they are replaced."""

    def made() -> dict[str, object]:
        found = json.loads(in_namespace("get", "secrets", "-l", "app.kubernetes.io/instance=holdfast", "-o", "json"))["items"]
        return {each["metadata"]["name"]: each["data"] for each in found}

    before = made()
    assert {"holdfast-redis-auth", "holdfast-redis-operator"} <= before.keys()
    done = helm("upgrade", "holdfast", str(CHART), "-n", NAMESPACE, "--reuse-values", "--wait", "--timeout", "60s", seconds=90)
    assert done.returncode == 0, done.stderr
    assert made() == before


@pytest.mark.parametrize(
    ("may", "verb", "what"),
    [
        *((True, verb, what) for verb, what in (("list", "pods"), ("patch", "pods"), ("patch", "pods/status"))),
        (True, "update", "leases/holdfast-controller"),
        *((False, verb, "pods") for verb in ("delete", "create", "update")),
        *((False, verb, what) for verb, what in (("get", "secrets"), ("create", "pods/exec"), ("update", "leases/another"))),
        *((False, verb, "deployments/holdfast") for verb in ("patch", "delete")),
    ],
)
def test_what_the_controller_may_do(release: Release, may: bool, verb: str, what: str) -> None:
    """As the API server says it: what it needs in its namespace, and nothing in another."""
    account = f"system:serviceaccount:{NAMESPACE}:holdfast-controller"
    for namespace, is_allowed in ((NAMESPACE, may), ("default", False)):
        asked = ["kubectl", "auth", "can-i", verb, what, "--as", account, "-n", namespace]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout.strip() == ("yes" if is_allowed else "no"), done.stderr


async def test_the_controller_tells_kubernetes_what_pods_say(release: Release) -> None:
    """Conditions that `kubectl wait` can wait for, ranks for a scale-in, and a Lease of the leader."""
    in_namespace("wait", "pod", "-l", CHAT, "--for=condition=holdfast.dev/BusLive", "--timeout=30s")
    in_namespace("wait", "pod", "-l", CHAT, "--for=condition=holdfast.dev/StoreReachable", "--timeout=30s")
    holder = in_namespace("get", "lease", "holdfast-controller", "-o", "jsonpath={.spec.holderIdentity}")
    assert holder.startswith("holdfast-controller-")

    def is_ranked() -> bool:
        pods = json.loads(in_namespace("get", "pods", "-l", CHAT, "-o", "json"))["items"]
        cost = "controller.kubernetes.io/pod-deletion-cost"
        return all(cost in (pod["metadata"].get("annotations") or {}) for pod in pods)

    await eventually(is_ranked, within=90)


def test_the_fleet_is_told_through_the_api_server(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    """Each pod's own word, from where no pod can be reached directly."""
    assert main(["status", "--namespace", NAMESPACE, "--json"]) == 0
    fleet = json.loads(capsys.readouterr().out)
    pods = in_namespace("get", "pods", "-l", CHAT, "-o", "jsonpath={.items[*].metadata.name}").split()
    assert sorted(pod["name"] for pod in fleet["pods"]) == sorted(pods)
    assert {(pod["state"], pod["is_ready"], pod["conditions"]["BusLive"]) for pod in fleet["pods"]} == {("healthy", True, True)}


async def play(release: Release, name: str, directory: Path) -> Outcome:
    """A drill's outcome; a late result may be measured again, a wrong one may not.

    Ten messages a second: one project of the emulator holds those of all drills, and each query copies the names of all its
    documents. With thirty a second it was what all waited for from the third drill on.
    """
    drill = DRILLS.get(name) or CATALOGUE[name]
    for _ in range(2):
        outcome = await run_on_kubernetes(drill, Options(rate=10.0, directory=directory), release.place, print)
        tell(Console(width=130), outcome)
        if not outcome.is_only_late:
            break
    return outcome


@pytest.mark.parametrize(
    "name",
    [
        *("pod-delete", "pod-kill", "container-restart", "redis-delete", "redis-hang", "rolling-restart"),
        *("node-drain", "scale-in", "api-loss", "node-loss"),
    ],
)
async def test_a_drill_on_the_cluster(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nothing lost, nothing doubled; the drill's own expectations are met."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", release.environ["FIRESTORE_EMULATOR_HOST"])
    outcome = await play(release, name, tmp_path)
    assert outcome.exit_code == 0, outcome.problem
    told = json.loads(in_namespace("get", "events", "--field-selector", "involvedObject.name=holdfast", "-o", "json"))["items"]
    assert {event["reason"] for event in told if event["message"].startswith(name)} == {"DrillStarted", "DrillEnded"}


def test_no_pod_asked_redis_for_what_its_user_may_not(release: Release) -> None:
    """After whatever the tests before this one did: a command that is missing in the rules costs a feature."""
    assert not in_namespace("exec", "holdfast-redis-0", "--", "redis-cli", "acl", "log").strip()


async def test_an_upgrade_under_load_moves_everybody_once(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `maxSurge: 100%` all new pods are there before the first old one goes.

    As long as they become ready within `drain.preStopSeconds` of each other: until the last of the old ones is told to go, it is
    an address like any other. Here three start at once on two cores.
    """
    values = ("--reuse-values", "--set", "drain.preStopSeconds=20", "--wait", "--timeout", "180s")
    done = helm("upgrade", "holdfast", str(CHART), "-n", NAMESPACE, *values, seconds=200)
    assert done.returncode == 0, done.stderr
    in_namespace("rollout", "status", "deployment/holdfast", "--timeout=120s")
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", release.environ["FIRESTORE_EMULATOR_HOST"])
    outcome = await play(release, "upgrade", tmp_path)
    assert outcome.exit_code == 0, outcome.problem
    events = list(read_history(outcome.history)[1])
    left = {each.user for each in events if each.event == "left"}  # a few leave and come back by themselves
    stayed = {each.device for each in events if each.event == "start" and each.user not in left}
    opened = Counter(each.device for each in events if each.event == "opened" and each.device in stayed)
    assert set(opened.values()) == {2}, opened
    images = in_namespace("get", "pods", "-l", CHAT, "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert set(images.split()) == {"docker.io/library/holdfast:next"}
