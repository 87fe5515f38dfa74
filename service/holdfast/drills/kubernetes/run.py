"""One run on a cluster: what is durable is read from the store where it can be reached, else through REST as any member could."""

import asyncio
import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from holdfast import __version__
from holdfast.drills.absences import Absences
from holdfast.drills.checker.judge import judge_run
from holdfast.drills.checker.run import Run
from holdfast.drills.crowd import Crowd, Size
from holdfast.drills.drill import Drill
from holdfast.drills.history import Header, History, digest, read_history
from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.drills.kubernetes.lease import DrillLease, held
from holdfast.drills.kubernetes.scenarios import KubernetesStage
from holdfast.drills.measure import measure
from holdfast.drills.moments import Moments
from holdfast.drills.run import Options, Outcome, Progress
from holdfast.drills.stage import Expectation
from holdfast.drills.stored import read_store, store_at
from holdfast.errors import HoldfastError
from holdfast.launcher.waiting import TargetFailed, until

_STEADY_SECONDS: Final = 3.0
_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Which release, and how clients reach it.

    Attributes:
        url: the Service, an ingress, a port-forward.
        store_url: of the release's store, where it can be reached from here; else messages and presence are read through REST,
            and notifications are not judged.
        token_command: prints the token of the user whose id follows as its last argument; empty: tokens are signed with the
            release's secret.
    """

    context: str
    namespace: str
    release: str
    url: str
    store_url: str = ""
    token_command: tuple[str, ...] = ()


async def run_on_kubernetes(drill: Drill, options: Options, place: Place, progress: Progress) -> Outcome:
    """Run it once; everything is restored and the lease given back, whatever happened."""
    options.directory.mkdir(parents=True, exist_ok=True)
    path = options.directory / f"{drill.name}-kubernetes.jsonl"
    outcome = Outcome(drill, options, path)
    size = Size.of((options.clients, options.rate), (drill.clients, drill.rate))
    outcome.began_at, began = datetime.now(UTC), time.monotonic()
    started_at = outcome.began_at.isoformat(timespec="milliseconds")
    try:
        cluster = Cluster(place.context, place.namespace, place.release, place.token_command)
        await cluster.enter()
        outcome.options, outcome.ran_on = replace(options, store=cluster.store), cluster.ran_on
        header = Header(
            name=drill.name,
            seed=options.seed,
            clients=size.clients,
            store=cluster.store,
            version=__version__,
            started_at=started_at,
            bounds=drill.bounds,
        )
        async with held(cluster, drill.name) as lease:
            for restored in lease.restored:
                progress(f"an earlier drill left something behind: {restored}")
            await cluster.tell("DrillStarted", f"{drill.name}: {drill.fault}")
            try:
                with History(path, header) as history:
                    await _play(drill, options, size, place, cluster, lease, history, outcome, progress)
            finally:
                await cluster.tell("DrillEnded", f"{drill.name} is over")
    except (HoldfastError, OSError, httpx.HTTPError) as error:
        outcome.problem = f"{type(error).__name__}: {error}"
    except asyncio.CancelledError:
        outcome.problem, outcome.is_aborted = "interrupted", True
    outcome.took_seconds = round(time.monotonic() - began, 1)
    if not outcome.problem:
        run = Run(*read_history(path))
        outcome.run, outcome.verdict, outcome.figures = run, judge_run(run), measure(run)
        if drill.reconnect_p99 is not None and outcome.figures.reconnect.count:
            outcome.expectations.append(Expectation("reconnect p99", drill.reconnect_p99, outcome.figures.reconnect.p99))
    return outcome


async def _play(
    drill: Drill,
    options: Options,
    size: Size,
    place: Place,
    cluster: Cluster,
    lease: DrillLease,
    history: History,
    outcome: Outcome,
    progress: Progress,
) -> None:
    await until(cluster.all_ready, 60, "all pods are ready before anything is broken")
    crowd = Crowd(lambda: [place.url], cluster.token, history, size, options.seed, tag=f"{secrets.token_hex(3)}-")
    await cluster.take_tokens(crowd.users)
    stage = KubernetesStage(cluster, lease, crowd, history, options.seed, options.seconds or drill.seconds)
    stage.say = progress
    outcome.expectations = stage.expectations
    try:
        progress(f"{size.clients} clients connect")
        await crowd.start()
        # One store serves all drills on a cluster. An emulator looks through all conversations for each count of one user's,
        # and a creation counts for every member: with a hundred of them it would measure the emulator.
        async with Absences(crowd, lambda: [place.url], options.seed, drill.bounds, has_large=False) as absences:
            await stage.pause(_STEADY_SECONDS)
            progress(drill.fault)
            ways = (lambda: [place.url], cluster.token)
            async with Moments(crowd, history, *ways, options.seed, size.rate, has_newcomers=cluster.signs_tokens):
                await drill.play(stage)
                absences.calm()
                progress("watching the aftermath")
                await stage.pause(drill.bounds.healthy_s + 2 * drill.bounds.delivery_s)
        await crowd.stop()
        await stage.pause(drill.bounds.delivery_s + drill.linger_seconds)
        progress("reading what is stored")
        if place.store_url:
            await read_store(store_at(place.store_url), crowd, history)
        else:
            await _read(place.url, cluster, crowd, history)
        history.record("end")
        history.close()
    finally:
        await crowd.close()


async def _read(url: str, cluster: Cluster, crowd: Crowd, history: History) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        for user in crowd.users:
            headers = {"Authorization": f"Bearer {cluster.token(user)}"}
            presence = await _page(http, f"{url}/api/users/{user}/presence", {}, headers)
            history.record("stored_presence", user=user, online=presence["online"])
        for conversation, members in crowd.conversations.items():
            headers = {"Authorization": f"Bearer {cluster.token(members[0])}"}
            after, has_more = 0, True
            while has_more:
                path = f"{url}/api/conversations/{conversation}/messages"
                page = await _page(http, path, {"after_seq": after, "limit": _PAGE}, headers)
                has_more = page["has_more"]
                for message in page["messages"]:
                    after = message["seq"]
                    history.record(
                        "stored",
                        conversation=conversation,
                        seq=message["seq"],
                        sender=message["sender"],
                        key=message["client_message_id"],
                        digest=digest(message["body"]),
                    )


async def _page(http: httpx.AsyncClient, path: str, params: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    for _ in range(10):
        try:
            answer = await http.get(path, params=params, headers=headers)
        except httpx.HTTPError:
            await asyncio.sleep(1.0)
            continue
        if answer.status_code == 200:
            return dict(answer.json())
        await asyncio.sleep(1.0)
    raise TargetFailed(f"{path} cannot be read")
