"""The verdict of a run notices what it is for: a message that a member never saw, an error in a log, too many tasks."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.drills.history import Header, History, digest
from simulation import verdict
from simulation.logs import LogLine
from simulation.loop import START_SECONDS
from simulation.timeline import timeline
from simulation.verdict import Finding


def _line(t: float, process: str, level: int, logger: str, message: str, error: str = "") -> LogLine:
    return LogLine(START_SECONDS + t, process, level, logger, message, error)


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _history(path: Path, *, is_shown: bool) -> None:
    """Alice writes to Bob; Bob is connected all the time."""
    clock = _Clock()
    history = History(path, Header(name="test"), clock)
    bob, alice = history.device("u2-1", "u2"), history.device("u1-1", "u1")
    bob.record("opened", connection="x", instance="i1", generation="", resumed=True)
    bob.record("synced", connection="x")
    for user in ("u1", "u2"):
        history.record("asking", conversation="c0", user=user, present=True)
        history.record("member", conversation="c0", user=user, present=True)
    clock.now = 1.0
    alice.record("send", conversation="c0", key="k1", body="hello")
    clock.now = 1.1
    alice.record("ack", conversation="c0", key="k1", seq=1, duplicate=False)
    if is_shown:
        bob.record("received", conversation="c0", seq=1, sender="u1", key="k1", body="hello")
        bob.record("shown", conversation="c0", seq=1, sender="u1", key="k1", body="hello")
    clock.now = 30.0
    history.record("stored", conversation="c0", seq=1, sender="u1", key="k1", digest=digest("hello"))
    history.record("end")
    history.close()


@pytest.mark.parametrize("is_shown", [True, False])
def test_first_message_of_a_conversation_that_a_member_never_saw_is_a_finding(tmp_path: Path, is_shown: bool) -> None:
    """The drills judged such messages for a long time by nothing."""
    path = tmp_path / "history.jsonl"
    _history(path, is_shown=is_shown)

    kinds = {finding.kind for finding in verdict.judged(path).findings}

    assert ("missing" in kinds) is not is_shown


@pytest.mark.parametrize(("restored_at", "is_judged"), [(29.0, True), (3.0, False)])
def test_message_that_was_due_before_the_store_was_restored_is_judged(
    tmp_path: Path, restored_at: float, is_judged: bool
) -> None:
    """A restore near the end of a run must not excuse everything before it."""
    path = tmp_path / "history.jsonl"
    _history(path, is_shown=False)
    lines = path.read_text().splitlines()
    lines.insert(-2, f'{{"event":"restored","t":{restored_at},"conversation":"c0","seq":1}}')
    path.write_text("\n".join(lines) + "\n")

    judgement = verdict.judged(path)

    assert ("missing" in {finding.kind for finding in judgement.findings}) is is_judged
    assert ("missing" not in judgement.unjudged) is is_judged


@pytest.mark.parametrize(("seq", "fault", "is_finding"), [(1, "", False), (0, "", True), (0, "pod-kill", False)])
def test_list_that_is_behind_its_conversation_is_a_finding_unless_an_instance_died(
    tmp_path: Path, seq: int, fault: str, is_finding: bool
) -> None:
    """A hint that is lost shows nowhere else."""
    path = tmp_path / "history.jsonl"
    _history(path, is_shown=True)
    with path.open("a") as file:
        if fault:
            file.write(f'{{"event":"fault","t":31.0,"name":"{fault}","target":"i1","on":true}}\n')
        file.write(f'{{"event":"listed","t":32.0,"user":"u2","conversation":"c0","seq":{seq}}}\n')

    assert ("listed" in {finding.kind for finding in verdict.judged(path).findings}) is is_finding


def test_rest_call_that_nobody_served_is_a_finding(tmp_path: Path) -> None:
    """A user whose calls are refused does less, and nothing else of it is seen."""
    path = tmp_path / "history.jsonl"
    _history(path, is_shown=True)
    with path.open("a") as file:
        file.write('{"event":"unserved","t":32.0,"user":"u2","code":"POST /api/conversations: no answer"}\n')

    assert "rest" in {finding.kind for finding in verdict.judged(path).findings}


def test_second_showing_does_not_make_a_message_late(tmp_path: Path) -> None:
    """A device that is told to fetch a conversation again has shown its messages in time all the same."""
    path = tmp_path / "history.jsonl"
    _history(path, is_shown=True)
    with path.open("a") as file:
        file.write('{"event":"reset","t":29.0,"device":"u2-1","user":"u2","conversation":"c0","head":1}\n')

    assert "missing" not in {finding.kind for finding in verdict.judged(path).findings}


def test_history_without_acknowledged_sends_is_a_finding() -> None:
    """A run in which nothing was put to the test must not count as one that is well."""
    judged = verdict.Judgement([], acknowledged=5, between_faults=5, unjudged=("I8", "I11"))
    nothing = verdict.Judgement([], acknowledged=0, between_faults=0, unjudged=("I1", "I8", "missing"))

    assert verdict.silent(judged, 60.0) == []
    assert [finding.text for finding in verdict.silent(nothing, 60.0)] == ["nothing was judged of I1, missing"]


def test_send_during_a_fault_does_not_count_as_judged_between_faults(tmp_path: Path) -> None:
    """How much of a profile is judged as a calm day shows how much its faults excuse."""
    path = tmp_path / "history.jsonl"
    _history(path, is_shown=True)
    assert verdict.judged(path).between_faults == 1

    with path.open("a") as file:
        file.write('{"event":"fault","t":0.5,"name":"pod-kill","target":"i1","on":true}\n')
        file.write('{"event":"fault","t":9.0,"name":"pod-kill","target":"i1","on":false}\n')

    judgement = verdict.judged(path)
    assert (judgement.acknowledged, judgement.between_faults) == (1, 0)


def test_error_in_a_log_is_a_finding_unless_the_faults_explain_it() -> None:
    """An instance says of itself that something went wrong, whatever its users saw."""
    lines = [
        _line(1.0, "i1", logging.INFO, "holdfast.node", "serving"),
        _line(2.0, "i1", logging.ERROR, "holdfast.node", "a background task failed: tasks", "Traceback\nKeyError: 1\n"),
        _line(3.0, "i2", logging.ERROR, "holdfast.redis", "Redis refuses"),
    ]

    (found,) = verdict.logged(lines, {"Redis refuses": "its password was changed"})

    assert found.text == "i1: a background task failed: tasks KeyError: 1"


def test_instance_with_thousands_of_tasks_is_a_finding() -> None:
    """Growth without a bound ends in an out-of-memory kill."""
    assert [finding.kind for finding in verdict.grown({"i1": 60, "i2": 5_000}, 100.0)] == ["growth"]


def test_timeline_tells_the_path_of_the_message(tmp_path: Path) -> None:
    """It is read by a person who looks for the cause."""
    path = tmp_path / "history.jsonl"
    _history(path, is_shown=False)

    told = timeline(path, [_line(1.05, "i1", logging.INFO, "holdfast.node", "committed")], Finding("missing", 1.1, "u2-1 c0/1"))

    assert "u1-1: k1 is acknowledged as c0/1" in told
    assert "committed" in told
    assert told.index("u1-1 sends k1") < told.index("is acknowledged")


@pytest.mark.parametrize(
    ("generation", "t", "is_found"),
    [("old", 11.0, False), ("new", 11.0, True), ("old", 16.5, True), ("old", 9.0, True)],
    ids=["not noticed yet", "noticed", "never noticed", "before the restore"],
)
def test_head_of_before_a_restore_is_no_finding_until_the_instance_has_noticed(
    tmp_path: Path, generation: str, t: float, is_found: bool
) -> None:
    """It knows the head from its memory, and replays from the store, which ends earlier. It is told to begin anew within 5 s."""
    clock = _Clock()
    history = History(tmp_path / "history.jsonl", Header(name="test"), clock)
    raw = history.device("u2-1", "u2")
    clock.now = 8.0
    raw.record("opened", connection="x", instance="i1", generation=generation, resumed=True)
    told: list[tuple[float, Callable[[], None]]] = [
        (10.0, lambda: history.record("restored", conversation="c0", seq=129)),
        (10.5, lambda: history.record("renewed", generation="new")),
        (t, lambda: raw.record("protocol", code="synced with the head 132 of c0, shown up to 129")),
    ]
    for at, record in sorted(told, key=lambda each: each[0]):
        clock.now = at
        record()
    history.close()

    assert [each.kind for each in verdict.judged(tmp_path / "history.jsonl").findings] == ["protocol"] * is_found
