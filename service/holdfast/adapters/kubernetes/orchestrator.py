"""`ports.Orchestrator` over the official client, whose calls block: each runs in a thread, with a deadline of its own."""

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from holdfast.adapters.kubernetes import access, objects
from holdfast.errors import OrchestratorUnavailable
from holdfast.ports import Pod, PodCondition, PodHealth
from holdfast.settings import KubernetesSettings
from kubernetes import client, watch

_SECONDS: Final = (2.0, 5.0)  # to connect, to answer
_WATCH_SECONDS: Final = 45  # then it is begun again: a watch that hangs is noticed by its end
_HEALTH_SECONDS: Final = 1.0
_CONFLICT: Final = 409
_GONE: Final = 410
_NOT_FOUND: Final = 404
_COMPONENT: Final = "holdfast-controller"


class KubernetesOrchestrator:
    """Implements `ports.Orchestrator`."""

    def __init__(self, settings: KubernetesSettings) -> None:
        """Reads who we are: the pod's own service account, else a kubeconfig.

        Raises:
            ConfigurationError: neither is there.
        """
        self._settings = settings
        api = access.api()
        self._core = client.CoreV1Api(api)
        self._apps = client.AppsV1Api(api)
        self._coordination = client.CoordinationV1Api(api)
        self._http = httpx.AsyncClient(timeout=_HEALTH_SECONDS, follow_redirects=False, trust_env=False)
        self._deployment_uid = ""

    # --- pods ---------------------------------------------------------------------------------------------------------

    async def pods(self) -> Sequence[Pod]:
        """See `Orchestrator.pods`."""
        found = await self._call(self._core.list_namespaced_pod, self._settings.namespace, label_selector=self._settings.selector)
        return [self._pod(each) for each in found.items]

    async def watch(
        self,
        on_listed: Callable[[Sequence[Pod]], Awaitable[None]],
        on_pod: Callable[[Pod], Awaitable[None]],
        on_gone: Callable[[Pod], Awaitable[None]],
    ) -> None:
        """See `Orchestrator.watch`. The stream is read by a thread that the server's own timeout ends."""
        found = await self._call(self._core.list_namespaced_pod, self._settings.namespace, label_selector=self._settings.selector)
        await on_listed([self._pod(each) for each in found.items])
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()
        source = watch.Watch()  # type: ignore[no-untyped-call]  # not annotated
        reader = threading.Thread(
            target=self._read, args=(source, found.metadata.resource_version, loop, events), name="pods", daemon=True
        )
        reader.start()
        try:
            while (event := await events.get()) is not None:
                kind, pod = event
                if kind == "ERROR":
                    raise OrchestratorUnavailable(str(pod))
                await (on_gone if kind == "DELETED" else on_pod)(self._pod(pod))
        finally:
            source.stop()  # type: ignore[no-untyped-call]  # not annotated

    def _read(self, source: Any, version: str, loop: asyncio.AbstractEventLoop, events: "asyncio.Queue[Any]") -> None:
        def put(event: tuple[str, Any] | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(events.put_nowait, event)

        try:
            stream = source.stream(
                self._core.list_namespaced_pod,
                self._settings.namespace,
                label_selector=self._settings.selector,
                resource_version=version,
                timeout_seconds=_WATCH_SECONDS,
                _request_timeout=(_SECONDS[0], _WATCH_SECONDS + _SECONDS[1]),
            )
            for event in stream:
                if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                    put((event["type"], event["object"]))
        except ApiException as error:
            if error.status != _GONE:
                put(("ERROR", f"{error.status} {error.reason}"))
        except (HTTPError, OSError, ValueError) as error:
            put(("ERROR", repr(error)))
        finally:
            put(None)

    async def health(self, pod: Pod) -> PodHealth | None:
        """See `Orchestrator.health`."""
        try:
            body = (await self._http.get(f"http://{pod.address}/api/health")).json()
            conditions = {
                each["type"]: PodCondition(each["type"], each["status"] == "True", each["reason"], each["message"])
                for each in body["conditions"]
            }
            return PodHealth(_state(str(body["status"]), conditions), conditions)
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None

    async def set_conditions(self, pod: Pod, conditions: Sequence[PodCondition]) -> None:
        """See `Orchestrator.set_conditions`."""
        body = {"status": {"conditions": [objects.condition(each, pod.conditions.get(each.type)) for each in conditions]}}
        await self._call(self._core.patch_namespaced_pod_status, pod.name, self._settings.namespace, body, may_be_gone=True)

    async def set_deletion_cost(self, pod: Pod, cost: int) -> None:
        """See `Orchestrator.set_deletion_cost`."""
        body = {"metadata": {"annotations": {objects.DELETION_COST: str(cost)}}}
        await self._call(self._core.patch_namespaced_pod, pod.name, self._settings.namespace, body, may_be_gone=True)

    async def tell(self, pod: Pod | None, reason: str, message: str, *, is_warning: bool) -> None:
        """See `Orchestrator.tell`."""
        namespace, now = self._settings.namespace, datetime.now(UTC)
        if pod is not None:
            about = client.V1ObjectReference(api_version="v1", kind="Pod", name=pod.name, namespace=namespace, uid=pod.uid)
        else:
            name, uid = self._settings.deployment, await self._uid_of_deployment()
            about = client.V1ObjectReference(api_version="apps/v1", kind="Deployment", name=name, namespace=namespace, uid=uid)
        event = client.CoreV1Event(
            metadata=client.V1ObjectMeta(name=f"{about.name}.{secrets.token_hex(8)}", namespace=namespace),
            involved_object=about,
            reason=reason,
            message=message,
            type="Warning" if is_warning else "Normal",
            first_timestamp=now,
            last_timestamp=now,
            count=1,
            source=client.V1EventSource(component=_COMPONENT),
            reporting_component=_COMPONENT,
            reporting_instance=_COMPONENT,
        )
        await self._call(self._core.create_namespaced_event, namespace, event)

    # --- the Lease ----------------------------------------------------------------------------------------------------

    async def lead(self, identity: str, seconds: int) -> bool:
        """See `Orchestrator.lead`. Times are compared with our own clock only against what we saw change before."""
        name, namespace = self._settings.lease, self._settings.namespace
        try:
            lease = await self._call(self._coordination.read_namespaced_lease, name, namespace)
        except _NotFound:
            spec = _lease_spec(identity, seconds, transitions=0)
            body = client.V1Lease(metadata=client.V1ObjectMeta(name=name), spec=spec)
            return await self._try(self._coordination.create_namespaced_lease, namespace, body)
        spec = lease.spec or client.V1LeaseSpec()  # as the chart made it: without a holder
        if spec.holder_identity not in (identity, None, "") and not _is_over(spec):
            return False
        transitions = (spec.lease_transitions or 0) + (spec.holder_identity != identity)
        acquired = spec.acquire_time if spec.holder_identity == identity else None
        lease.spec = _lease_spec(identity, seconds, transitions=transitions, acquired=acquired)
        return await self._try(self._coordination.replace_namespaced_lease, name, namespace, lease)

    async def resign(self, identity: str) -> None:
        """See `Orchestrator.resign`."""
        name, namespace = self._settings.lease, self._settings.namespace
        lease = await self._call(self._coordination.read_namespaced_lease, name, namespace)
        if lease.spec is not None and lease.spec.holder_identity == identity:
            lease.spec.holder_identity = ""
            lease.spec.lease_duration_seconds = 1
            await self._try(self._coordination.replace_namespaced_lease, name, namespace, lease)

    async def close(self) -> None:
        """See `Orchestrator.close`."""
        await self._http.aclose()

    # --- calls --------------------------------------------------------------------------------------------------------

    def _pod(self, found: Any) -> Pod:
        return objects.pod(found, self._settings.container, self._settings.internal_port)

    async def _uid_of_deployment(self) -> str:
        if not self._deployment_uid:
            found = await self._call(self._apps.read_namespaced_deployment, self._settings.deployment, self._settings.namespace)
            self._deployment_uid = found.metadata.uid
        return self._deployment_uid

    async def _try(self, work: Callable[..., Any], *arguments: Any) -> bool:
        """Whether it was done; False when another controller was first."""
        try:
            await self._call(work, *arguments)
        except _Conflict:
            return False
        return True

    async def _call(self, work: Callable[..., Any], *arguments: Any, may_be_gone: bool = False, **more: Any) -> Any:
        try:
            return await asyncio.to_thread(work, *arguments, _request_timeout=_SECONDS, **more)
        except ApiException as error:
            if error.status == _NOT_FOUND and may_be_gone:
                return None
            kind = {_NOT_FOUND: _NotFound, _CONFLICT: _Conflict}.get(error.status or 0, OrchestratorUnavailable)
            raise kind(f"{error.status} {error.reason}") from None
        except (HTTPError, OSError) as error:
            raise OrchestratorUnavailable(repr(error)[:300]) from None


class _NotFound(OrchestratorUnavailable):
    """There is no such object."""


class _Conflict(OrchestratorUnavailable):
    """Another controller wrote it, or made it, meanwhile."""


def _lease_spec(identity: str, seconds: int, *, transitions: int, acquired: datetime | None = None) -> Any:
    now = datetime.now(UTC)
    return client.V1LeaseSpec(
        holder_identity=identity,
        lease_duration_seconds=seconds,
        acquire_time=acquired or now,
        renew_time=now,
        lease_transitions=transitions,
    )


def _is_over(spec: Any) -> bool:
    """By its own words: clocks of nodes are in step to far less than a lease."""
    renewed = spec.renew_time or datetime.min.replace(tzinfo=UTC)
    return bool(renewed + timedelta(seconds=spec.lease_duration_seconds or 0) < datetime.now(UTC))


def _state(status: str, conditions: Mapping[str, PodCondition]) -> str:
    """A full instance calls itself `degraded`, the guide's word; it is `saturated` where nothing else is the matter."""
    is_well = all(conditions[name].status for name in ("RedisConnected", "BusLive", "StoreReachable") if name in conditions)
    saturated = conditions.get("Saturated")
    is_full = status == "degraded" and saturated is not None and saturated.status and is_well
    return "saturated" if is_full else status
