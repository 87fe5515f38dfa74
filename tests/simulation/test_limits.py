"""The limits that the page on operation names are excused, and nothing beside them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.drills.history import Header, History, digest
from simulation import verdict


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _history(path: Path, redis: str, gone_at: float, killed: str, killed_at: float, *, by_rest: bool) -> None:
    """u1 writes at i1 at 10 s, Redis is away from `gone_at` on, to a user who never connects and has no notification of it."""
    clock = _Clock()
    history = History(path, Header(name="test"), clock)
    writer = history.device("u1-1", "u1")
    faults: list[tuple[float, Callable[[], None]]] = [
        (gone_at, lambda: history.record("fault", name=redis, target="r1", on=True)),
        (killed_at, lambda: history.record("fault", name="pod-kill", target=killed, on=True)),
        (killed_at + 3.0, lambda: history.record("fault", name="pod-kill", target=killed, on=False)),
        (20.0, lambda: history.record("fault", name=redis, target="r1", on=False)),
    ]
    writer.record("opened", connection="x", instance="i1", generation="", resumed=True)
    writer.record("synced", connection="x")
    for user in ("u1", "away"):
        history.record("asking", conversation="c0", user=user, present=True)
        history.record("member", conversation="c0", user=user, present=True)

    def send() -> None:
        writer.record("send", conversation="c0", key="k1", body="hello", name="rest" if by_rest else "")

    def ack() -> None:
        writer.record("ack", conversation="c0", key="k1", seq=1, duplicate=False)
        writer.record("closed", connection="x", code=1000, clean=True)

    for t, act in sorted([*faults, (10.0, send), (10.1, ack)], key=lambda each: each[0]):
        clock.now = t
        act()
    clock.now = 200.0
    history.record("stored", conversation="c0", seq=1, sender="u1", key="k1", digest=digest("hello"))
    history.record("reading")
    history.record("end")
    history.close()


@pytest.mark.parametrize(
    ("redis", "gone_at", "killed", "killed_at", "by_rest", "is_excused"),
    [
        ("redis-kill", 8.0, "i1", 10.2, False, True),
        ("redis-kill", 8.0, "i2", 10.2, True, True),
        ("redis-kill", 8.0, "i2", 10.2, False, False),
        ("redis-kill", 8.0, "i1", 13.0, False, False),
        ("redis-kill", 8.0, "i1", 9.0, False, False),
        ("redis-flush", 8.0, "i1", 10.2, False, False),
        ("redis-kill", 10.3, "i1", 10.6, False, False),
    ],
    ids=["died after it", "by REST", "another instance", "long after it", "before it", "Redis answered", "Redis took it"],
)
def test_notification_of_a_commit_that_no_living_instance_knows_of_is_not_asked_for(
    tmp_path: Path, redis: str, gone_at: float, killed: str, killed_at: float, by_rest: bool, is_excused: bool
) -> None:
    """`docs/operating.md` says so; in every other case the user has to be notified."""
    path = tmp_path / "history.jsonl"
    _history(path, redis, gone_at, killed, killed_at, by_rest=by_rest)

    assert "I11" in {finding.kind for finding in verdict.judged(path).findings}
    assert ("I11" in {finding.kind for finding in verdict.judged(path, is_limited=True).findings}) is not is_excused
