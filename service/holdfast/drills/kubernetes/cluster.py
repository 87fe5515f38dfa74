"""A release of the chart in a namespace, as kubectl sees and breaks it.

Safety: the context and the namespace are named on the command line and must be the current ones, the namespace carries the label
`holdfast.dev/drills=allowed`, and a Lease lets one drill in at a time (`lease.py`).
"""

import asyncio
import base64
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from holdfast.drills.kubernetes.tokens import printed
from holdfast.launcher.waiting import TargetFailed
from holdfast.web.auth import issue

_LABEL: Final = "holdfast.dev/drills"
_COMMAND_SECONDS: Final = 120.0
_TOKEN_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Pod:
    """A chat pod. `is_ending`: it was told to go."""

    name: str
    node: str
    is_ready: bool
    is_ending: bool


class Cluster:
    """`enter` before anything is broken. `store`: the kind that the release keeps everything in, known from then on."""

    def __init__(self, context: str, namespace: str, release: str, token_command: Sequence[str] = ()) -> None:
        """Looks for kubectl. `token_command`: prints a user's token; without it tokens are signed with the release's secret.

        Raises:
            TargetFailed: there is none.
        """
        if shutil.which("kubectl") is None:
            raise TargetFailed("no kubectl here")
        self.context = context
        self.namespace = namespace
        self.release = release
        self.deployment = release if "holdfast" in release else f"{release}-holdfast"
        self.store = "unknown"
        self.ran_on = ""
        self._redis_pod = ""
        self._secret, self._issuer, self._audience = "", "", ""
        self._token_command = token_command
        self._tokens: dict[str, str] = {}

    async def enter(self) -> None:
        """Check that a drill may be played here.

        Raises:
            TargetFailed: it may not.
        """
        labels = (await self.get("namespace", self.namespace))["metadata"].get("labels", {})
        if labels.get(_LABEL) != "allowed":
            label = f"kubectl label namespace {self.namespace} {_LABEL}=allowed"
            raise TargetFailed(f"namespace {self.namespace} does not allow drills: {label}")
        self.deployment = await self._found("deployments", "chat") or self.deployment
        self._redis_pod = await self._found("pods", "redis")
        pod = await self._template()
        variables = _variables(pod)
        if not self._token_command:
            await self._take_secret(pod, variables)
        self.store = variables.get("HOLDFAST_STORE__URL", {}).get("value", "").partition(":")[0] or "unknown"
        self.ran_on = await self._described()

    async def _take_secret(self, pod: dict[str, Any], variables: dict[str, dict[str, Any]]) -> None:
        reference = _reference(pod, variables)
        if reference is None:
            raise TargetFailed(
                f"deployment {self.deployment} has no secret to sign tokens with (HOLDFAST_AUTH__SECRET):"
                " --token-command names a program that prints them"
            )
        secret = (await self.get("secret", reference["name"]))["data"].get(reference["key"])
        if secret is None:
            raise TargetFailed(f"secret {reference['name']} has no key {reference['key']}")
        self._secret = base64.b64decode(secret).decode().strip()  # as instances read it
        self._issuer, self._audience = (
            variables.get(f"HOLDFAST_AUTH__{name}", {}).get("value") or "holdfast" for name in ("ISSUER", "AUDIENCE")
        )

    async def take_tokens(self, users: Sequence[str]) -> None:
        """Where a command prints them: those of these users, and `token` knows no others.

        Raises:
            TargetFailed: it prints none.
        """
        if self._token_command:
            self._tokens = await printed(self._token_command, users)

    @property
    def signs_tokens(self) -> bool:
        """Whether there is a token for every user whom a drill invents."""
        return not self._token_command

    async def _found(self, kind: str, component: str) -> str:
        """The name of the release's one object of a kind and a component, whatever `fullnameOverride` made of it; else empty."""
        selector = f"app.kubernetes.io/instance={self.release},app.kubernetes.io/component={component}"
        try:
            items = json.loads(await self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        except TargetFailed:
            return ""
        return str(items[0]["metadata"]["name"]) if len(items) == 1 else ""

    async def _described(self) -> str:
        """The versions here: image, chart and Kubernetes, for reports; without those that cannot be read."""
        found = await self.get("deployment", self.deployment)
        chart = found.get("metadata", {}).get("labels", {}).get("helm.sh/chart", "")
        containers = found["spec"]["template"]["spec"]["containers"]
        image = next((each.get("image", "") for each in containers if each["name"] == "holdfast"), "")
        try:
            kubernetes = json.loads(await self.kubectl("get", "--raw", "/version")).get("gitVersion", "")
        except TargetFailed:
            kubernetes = ""
        parts = (image and f"image {image}", chart and f"chart {chart}", kubernetes and f"Kubernetes {kubernetes}")
        return ", ".join(part for part in parts if part)

    async def _template(self) -> dict[str, Any]:
        """What a chat pod is made of."""
        pod: dict[str, Any] = (await self.get("deployment", self.deployment))["spec"]["template"]["spec"]
        return pod

    async def tell(self, reason: str, note: str) -> None:
        """An Event on the Deployment: an operator who looks there sees that the failure was on purpose.

        Raises:
            TargetFailed: the API server does not take it.
        """
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{self.deployment}-drill-", "namespace": self.namespace},
            "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "reportingController": "holdfast.dev/drill",
            "reportingInstance": f"pid-{os.getpid()}",
            "action": "Drill",
            "type": "Normal",
            "reason": reason,
            "note": note,
            "regarding": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": self.deployment,
                "namespace": self.namespace,
            },
        }
        await self.kubectl("create", "-f", "-", given=json.dumps(event))

    def token(self, user_id: str) -> str:
        """A token that the release believes.

        Raises:
            TargetFailed: `take_tokens` was not told of this user.
        """
        if self._token_command:
            if user_id not in self._tokens:
                raise TargetFailed(f"no token of {user_id} was asked for")
            return self._tokens[user_id]
        issued_at = time.time()
        return issue(self._secret, user_id, _TOKEN_SECONDS, issuer=self._issuer, audience=self._audience, issued_at=issued_at)

    async def pods(self) -> list[Pod]:
        """The chat pods, whatever state they are in."""
        selector = f"app.kubernetes.io/instance={self.release},app.kubernetes.io/component=chat"
        found = json.loads(await self.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
        return [_pod(each) for each in found]

    async def ready(self) -> list[Pod]:
        """Those that get traffic."""
        return [pod for pod in await self.pods() if pod.is_ready and not pod.is_ending]

    async def replicas(self) -> int:
        """As many as there should be."""
        return int((await self.get("deployment", self.deployment))["spec"]["replicas"])

    async def all_ready(self) -> bool:
        """All expected pods are there, and no others."""
        pods = await self.pods()
        return len(pods) == await self.replicas() and all(pod.is_ready and not pod.is_ending for pod in pods)

    async def has_controller(self) -> bool:
        """Whether the release has one, and it runs."""
        names = await self.kubectl("get", "deployment", f"{self.deployment}-controller", "--ignore-not-found", "-o", "json")
        return bool(names) and bool(json.loads(names)["status"].get("readyReplicas"))

    @property
    def redis_pod(self) -> str:
        """The pod of the release's own Redis; one that replaces it has the same name.

        Raises:
            TargetFailed: there was none when the cluster was entered.
        """
        if not self._redis_pod:
            raise TargetFailed(f"release {self.release} has no Redis in namespace {self.namespace}")
        return self._redis_pod

    async def redis(self, *command: str) -> str:
        """`redis-cli` in the release's own Redis; empty while it does not answer."""
        try:
            return (await self.kubectl("exec", self.redis_pod, "--", "redis-cli", *command)).strip()
        except TargetFailed:
            return ""

    async def redis_each(self, commands: Sequence[str]) -> list[str]:
        """The same for several commands at once: a line for each; nothing while it does not answer."""
        try:
            given = "\n".join(commands) + "\n"
            return (await self.kubectl("exec", "-i", self.redis_pod, "--", "redis-cli", given=given)).splitlines()
        except TargetFailed:
            return []

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        found: dict[str, Any] = json.loads(await self.kubectl("get", kind, name, "-o", "json"))
        return found

    async def kubectl(self, *arguments: str, given: str = "") -> str:
        """Run it; returns its output.

        Raises: TargetFailed: it failed, or took too long.
        """
        command = ("kubectl", "--context", self.context, "--namespace", self.namespace, *arguments)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            async with asyncio.timeout(_COMMAND_SECONDS):
                out, err = await process.communicate(given.encode())
        except TimeoutError:
            raise TargetFailed(f"kubectl {arguments[0]}: no answer") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise TargetFailed(f"kubectl {' '.join(arguments[:3])}: {err.decode().strip()[:300]}")
        return out.decode()


def _variables(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The environment of its containers, by name: a value, or the source of the value."""
    return {each["name"]: each for container in pod["containers"] for each in container.get("env", ())}


def _reference(pod: dict[str, Any], variables: dict[str, dict[str, Any]]) -> dict[str, str] | None:
    """The Secret that signs tokens, and the key: of a variable, or of a file of a projected volume."""
    if (given := variables.get("HOLDFAST_AUTH__SECRET", {}).get("valueFrom", {}).get("secretKeyRef")) is not None:
        return {"name": given["name"], "key": given["key"]}
    file = variables.get("HOLDFAST_AUTH__SECRET_FILE", {}).get("value", "").rpartition("/")[2]
    for volume in pod.get("volumes", ()):
        for secret in (source.get("secret", {}) for source in volume.get("projected", {}).get("sources", ())):
            for item in secret.get("items", ()):
                if item["path"] == file:
                    return {"name": secret["name"], "key": item["key"]}
    return None


def _pod(found: dict[str, Any]) -> Pod:
    conditions = {each["type"]: each["status"] for each in found["status"].get("conditions", ())}
    metadata, spec = found["metadata"], found["spec"]
    is_ready = conditions.get("Ready") == "True"
    return Pod(metadata["name"], spec.get("nodeName", ""), is_ready, "deletionTimestamp" in metadata)
