"""The state of pods according to the API server and, through it, according to the pods themselves: for commands outside the
cluster.

Needs `list` on pods and `get` on `pods/proxy`.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from holdfast.adapters.kubernetes import access
from holdfast.errors import OrchestratorUnavailable
from kubernetes import client

_SECONDS: Final = (2.0, 5.0)  # to connect, to answer


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as the API server has it."""

    name: str
    node: str
    is_ready: bool
    is_ending: bool
    restarts: int
    age_seconds: int


class PodView:
    """Calls block: each runs in a thread, with a deadline of its own."""

    def __init__(self, context: str | None, namespace: str, selector: str) -> None:
        """`context`: of the kubeconfig; None is the pod's own service account, else the current one.

        Raises:
            ConfigurationError: there is no such context, nor any access.
        """
        self._core = client.CoreV1Api(access.api(context))
        self._namespace = namespace
        self._selector = selector

    async def pods(self) -> list[PodState]:
        """All of the selector.

        Raises:
            OrchestratorUnavailable: the API server does not answer, or says no.
        """
        found = await self._call(self._core.list_namespaced_pod, self._namespace, label_selector=self._selector)
        return [_state(each) for each in found.items]

    async def get(self, pod: str, port: int, path: str) -> bytes | None:
        """What the pod answers to a GET of that path; None where it does not.

        Raises:
            OrchestratorUnavailable: the API server does not answer, or says no.
        """
        try:
            answer = await self._call(
                self._core.connect_get_namespaced_pod_proxy_with_path,
                f"{pod}:{port}",
                self._namespace,
                path,
                _preload_content=False,
            )
        except ApiException as error:
            # 503 is also how an instance that starts or drains tells of itself.
            body = error.body
            return (body.encode() if isinstance(body, str) else body) or None
        return bytes(answer.data)

    async def _call(self, work: Any, *arguments: Any, **more: Any) -> Any:
        try:
            return await asyncio.to_thread(work, *arguments, _request_timeout=_SECONDS, **more)
        except ApiException as error:
            if error.status in (404, 502, 503) and "_preload_content" in more:
                raise
            raise OrchestratorUnavailable(f"the API server says {error.status} {error.reason}") from None
        except (HTTPError, OSError) as error:
            raise OrchestratorUnavailable(f"the API server does not answer: {error!r}"[:300]) from None


def _state(found: Any) -> PodState:
    status = found.status
    born = status.start_time or found.metadata.creation_timestamp
    return PodState(
        name=found.metadata.name,
        node=found.spec.node_name or "",
        is_ready=any(each.type == "Ready" and each.status == "True" for each in status.conditions or ()),
        is_ending=found.metadata.deletion_timestamp is not None,
        restarts=sum(each.restart_count for each in status.container_statuses or ()),
        age_seconds=max(0, int((datetime.now(UTC) - born).total_seconds())),
    )
