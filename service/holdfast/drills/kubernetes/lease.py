"""The Lease that lets one drill at a time into a namespace, and remembers what that drill has to restore.

It is missing while no drill is played. Its holder renews it every `RENEW_SECONDS`. A drill that is killed leaves it, and it
expires. A drill that could not restore everything releases it. In both cases the next drill, or `holdfast drill recover`, takes
it over and restores what its annotation names: each change is noted there before it is made.

Every write depends on the resourceVersion that was read or written last. So one of two processes that take it over is refused,
and a drill whose lease was taken ends. It renews the lease before each restore, so it restores nothing then. An age is judged by
the clock of this machine, against a time of the holder's clock. Clocks that differ by more than `DURATION_SECONDS` let a second
drill take over, which ends the first.
"""

import asyncio
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.drills.kubernetes.restores import Restore, decoded, encoded
from holdfast.launcher.waiting import TargetFailed

DURATION_SECONDS: Final = 90
RENEW_SECONDS: Final = 15.0
_NAME: Final = "holdfast-drill"
_DRILL: Final = "holdfast.dev/drill"
_RESTORE: Final = "holdfast.dev/restore"
_CHANGED: Final = ("(Conflict)", "(AlreadyExists)", "(NotFound)")  # of the API server: the object is not as it was


@dataclass(frozen=True, slots=True)
class Found:
    """The Lease as it was read. `holder`: empty when it was released. `restores`: the text of its annotation."""

    version: str
    holder: str
    drill: str
    acquired_at: datetime
    renewed_at: datetime
    duration_seconds: float
    restores: str

    @property
    def left_seconds(self) -> float:
        """Until it expires."""
        return self.duration_seconds - (datetime.now(UTC) - self.renewed_at).total_seconds() if self.holder else 0.0

    def refusal(self, cluster: Cluster) -> str:
        """Why no drill may begin now, and what to do when its holder is dead."""
        age = (datetime.now(UTC) - self.acquired_at).total_seconds()
        recover = f"holdfast drill recover --force --context {cluster.context} --namespace {cluster.namespace}"
        return (
            f"a drill is being played in {cluster.namespace}: {self.drill or 'unnamed'}, by {self.holder}, for {age:.0f} s. "
            f"If that process is dead: the lease expires in {self.left_seconds:.0f} s, or run `{recover}`"
        )


class DrillLease:
    """Of one drill, by `held`. Lives in the loop. `restored`: in words. `is_lost`: another process has taken it over."""

    def __init__(self, cluster: Cluster, drill: str) -> None:
        self.restored: list[str] = []
        self.is_lost = False
        self._cluster = cluster
        self._drill = drill
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"
        self._acquired = _now()
        self._version = ""
        self._restores: list[Restore] = []
        self._writing = asyncio.Lock()

    async def take(self, *, is_forced: bool = False) -> None:
        """Become its holder, with all that is still to be restored.

        Raises:
            TargetFailed: another drill holds it, and it has not expired; or kubectl failed.
        """
        found = await _read(self._cluster)
        if found is not None and found.left_seconds > 0 and not is_forced:
            raise TargetFailed(found.refusal(self._cluster))
        if found is not None:
            self._version, self._restores = found.version, decoded(found.restores)
        try:
            await self._put("create" if found is None else "replace", self._holder)
        except _Changed:
            told = (
                f"the lease of drills in {self._cluster.namespace} has just changed: another drill began, or its holder is alive"
            )
            raise TargetFailed(told) from None

    async def keep(self, of: asyncio.Task[Any]) -> None:
        """Renew it until cancelled. When another process has taken it, cancel the task that plays the drill."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if self.is_lost:
                return  # the task has found out by itself
            try:
                await self._write(self._holder)
            except _Lost:
                of.cancel()
                return
            except TargetFailed:
                continue  # an API server that is away for longer than the lease lasts lets no other process have it either

    @asynccontextmanager
    async def restoring(self, restore: Restore) -> AsyncIterator[None]:
        """While it is entered something is changed; it is restored afterwards, if need be by another process."""
        self._restores.append(restore)
        await self._write(self._holder)
        try:
            yield
        finally:
            await self._restore(restore)

    async def restore_all(self) -> None:
        """Restore what is still changed, the last change first.

        Raises:
            TargetFailed: something could not be restored; it stays noted.
        """
        for restore in reversed(self._restores):
            await self._restore(restore)

    async def give_back(self) -> None:
        """Restore what is still changed, and let the next drill in.

        Raises:
            TargetFailed: like `restore_all`; then the lease is released, and the next drill restores it.
        """
        if self.is_lost:
            return
        try:
            await self.restore_all()
        finally:
            await self._write("")
            if not self._restores:
                await self._delete()

    async def _restore(self, restore: Restore) -> None:
        """What another process has to restore since it took the lease over is left to that process."""
        await self._write(self._holder)
        try:
            await self._cluster.kubectl(*restore.command)
        except TargetFailed as error:
            if "not found" not in str(error):  # it is gone: there is nothing to restore. `scale` says so without `(NotFound)`
                raise
        self.restored.append(restore.told)
        self._restores = [each for each in self._restores if each != restore]
        await self._write(self._holder)

    async def _write(self, holder: str) -> None:
        """Write the knowledge of this process now; an operator's edit is overwritten.

        Raises:
            TargetFailed: the lease is another process's, or gone; or kubectl failed.
        """
        async with self._writing:
            try:
                await self._put("replace", holder)
            except _Changed:
                found = await _read(self._cluster)
                if found is None or found.holder != self._holder:
                    self.is_lost = True
                    raise _Lost("another process has taken the lease of this drill") from None
                self._version = found.version
                await self._put("replace", holder)

    async def _put(self, verb: str, holder: str) -> None:
        metadata: dict[str, Any] = {"name": _NAME, "namespace": self._cluster.namespace, "annotations": {_DRILL: self._drill}}
        if self._restores:
            metadata["annotations"][_RESTORE] = encoded(self._restores)
        if self._version:
            metadata["resourceVersion"] = self._version
        spec = {"holderIdentity": holder, "leaseDurationSeconds": DURATION_SECONDS}
        times = {"acquireTime": self._acquired, "renewTime": _now()}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec | times}
        told = await _unless_changed(self._cluster, verb, "-f", "-", "-o", "json", given=json.dumps(lease))
        self._version = json.loads(told)["metadata"]["resourceVersion"]

    async def _delete(self) -> None:
        """As it was written last; where it is not as it was, another drill has begun."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self._cluster.namespace}/leases/{_NAME}"
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": self._version}}
        try:
            await _unless_changed(self._cluster, "delete", "--raw", path, "-f", "-", given=json.dumps(options))
        except _Changed:
            return


@asynccontextmanager
async def held(cluster: Cluster, drill: str, *, is_forced: bool = False) -> AsyncIterator[DrillLease]:
    """The lease while a drill is played; what an earlier drill left is restored before.

    Raises:
        TargetFailed: another drill is being played; this one's lease was taken; or something could not be restored.
    """
    lease, task = DrillLease(cluster, drill), cast("asyncio.Task[Any]", asyncio.current_task())
    await lease.take(is_forced=is_forced)
    keeping = asyncio.create_task(lease.keep(task))
    try:
        await lease.restore_all()
        yield lease
    except asyncio.CancelledError:
        if not lease.is_lost:
            raise
        raise TargetFailed("another process has taken the lease of this drill, so it was ended") from None
    finally:
        if lease.is_lost:
            task.uncancel()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await lease.give_back()


async def recover(cluster: Cluster, *, is_forced: bool) -> list[str] | None:
    """Restore what a killed drill left, in words; None where there is no lease.

    Raises:
        TargetFailed: the lease has not expired, and `is_forced` is not set; or something could not be restored.
    """
    if await _read(cluster) is None:
        return None
    async with held(cluster, "recover", is_forced=is_forced) as lease:
        return lease.restored


class _Lost(TargetFailed):
    """The lease is another process's, or gone."""


class _Changed(TargetFailed):
    """The object is not as it was when it was read."""


async def _unless_changed(cluster: Cluster, *arguments: str, given: str) -> str:
    try:
        return await cluster.kubectl(*arguments, given=given)
    except TargetFailed as error:
        if any(each in str(error) for each in _CHANGED):
            raise _Changed(str(error)) from None
        raise


async def _read(cluster: Cluster) -> Found | None:
    text = await cluster.kubectl("get", "lease", _NAME, "--ignore-not-found", "-o", "json")
    if not text.strip():
        return None
    lease = json.loads(text)
    metadata, spec = lease["metadata"], lease.get("spec", {})
    annotations = metadata.get("annotations", {})
    acquired = spec.get("acquireTime") or metadata["creationTimestamp"]  # version 0.1.0 wrote no times
    return Found(
        version=metadata["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        drill=annotations.get(_DRILL, ""),
        acquired_at=datetime.fromisoformat(acquired),
        renewed_at=datetime.fromisoformat(spec.get("renewTime") or acquired),
        duration_seconds=float(spec.get("leaseDurationSeconds") or DURATION_SECONDS),
        restores=annotations.get(_RESTORE, "[]"),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
