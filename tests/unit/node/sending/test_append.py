"""A batch on its way into the store: conflicts, answers that were lost, content that is refused, and giving up."""

import asyncio

from holdfast.domain.ids import ConversationId, InstanceId
from holdfast.domain.messages import Draft
from holdfast.errors import CommandError, StoreBusy, StoreConflict, StoreRejected, StoreTimeout, StoreUnavailable
from holdfast.node.sending.append import (
    SETTLE_SECONDS,
    Appender,
    Batch,
    Commit,
    Settled,
    Waiting,
    conflict,
    not_found,
    unavailable,
)
from holdfast.node.sending.own_marks import Marking
from holdfast.telemetry import Telemetry
from support.fakes import FakeStore, draft
from support.identities import identity_of
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

C = ConversationId("c1")
MARKING = Marking(("mark",), 0, is_found=True)


class Scene:
    """An appender, its store, and what it said."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.commits: list[Commit] = []
        self.answers: dict[str, list[Settled | CommandError]] = {}
        self.telemetry = Telemetry("test")
        self.appender = Appender(identity_of(), self.store, LoopClock(), self.telemetry, self.commits.append)  # type: ignore[arg-type]  # the part it uses

    def batch(self, *drafts: Draft) -> Batch:
        """One that waits for each of these; equal keys together."""
        batch = Batch(C, {}, marking=MARKING)
        for each in drafts:
            said = self.answers.setdefault(each.client_message_id, [])
            batch.sends.setdefault(each.key, []).append(
                Waiting(each, LoopClock().monotonic(), said.append, bypass_membership=False)
            )
        return batch

    def seqs(self) -> dict[str, list[object]]:
        """Each key's answers: seqs, or codes and outcomes."""
        return {
            key: [a.message.seq if isinstance(a, Settled) else (a.code, a.outcome) for a in answers]
            for key, answers in self.answers.items()
        }


@in_virtual_time
async def test_a_batch_is_one_append_and_every_send_has_its_place() -> None:
    """The usual case: nothing is read, the order is the batch's, the mark may go with what follows."""
    scene = Scene()
    await scene.appender.run(scene.batch(draft(key="k1"), draft(key="k2"), draft(key="k3")))
    assert scene.seqs() == {"k1": [1], "k2": [2], "k3": [3]}
    assert (scene.store.calls["append"], scene.store.calls["settle"]) == (1, 0)
    assert [(c.marking, [m.seq for m in c.messages]) for c in scene.commits] == [(MARKING, [1, 2, 3])]


@in_virtual_time
async def test_who_lost_the_race_goes_behind_the_winner() -> None:
    """Another instance was first: the tail is read and the whole batch follows it."""
    scene = Scene()
    scene.store.put(C, "theirs 1", "theirs 2")
    await scene.appender.run(scene.batch(draft(key="k1"), draft(key="k2")))
    assert scene.seqs() == {"k1": [3], "k2": [4]}
    assert scene.store.bodies(C) == ["theirs 1", "theirs 2", "hello", "hello"]


@in_virtual_time
async def test_an_answer_that_was_lost_is_found_not_repeated() -> None:
    """The commit is in, its answer is not: the same messages, once, and handed on like a fresh commit."""
    for error in (StoreTimeout("late"), StoreUnavailable("reset"), StoreConflict("our own, the library tried again")):
        scene = Scene()
        scene.store.fail("append", error, after=True)
        await scene.appender.run(scene.batch(draft(key="k1"), draft(key="k2")))
        assert scene.seqs() == {"k1": [1], "k2": [2]}
        assert scene.store.bodies(C) == ["hello", "hello"]
        assert [m.seq for commit in scene.commits for m in commit.messages] == [1, 2]
        assert not any(answer.is_duplicate for said in scene.answers.values() for answer in said if isinstance(answer, Settled))


@in_virtual_time
async def test_what_was_never_sent_is_not_asked_about() -> None:
    """The store had no place for it: that is certain, and asking would cost another place."""
    scene = Scene()
    scene.store.fail("append", StoreBusy("64 are under way"), StoreBusy("64 are under way"))
    batch = scene.batch(draft(key="k1"))
    running = asyncio.create_task(scene.appender.run(batch))
    await settled()
    assert not batch.was_sent
    await running
    assert (scene.seqs(), scene.store.calls["settle"]) == ({"k1": [1]}, 0)
    assert [commit.marking for commit in scene.commits] == [MARKING]


@in_virtual_time
async def test_attempt_whose_place_is_taken_is_in_doubt_no_more() -> None:
    """It has landed, or never will: the mark goes with what is handed on. So it is after most outages of the store."""
    scene = Scene()
    scene.store.fail("append", StoreTimeout("not in, or not yet"))
    await scene.appender.run(scene.batch(draft(key="k1")))
    assert scene.seqs() == {"k1": [1]}
    assert [commit.marking for commit in scene.commits] == [MARKING]


@in_virtual_time
async def test_while_an_attempt_is_in_doubt_the_mark_stays() -> None:
    """It may still land after its sender was told that nothing is known: it is found by the mark then."""
    scene = Scene()
    scene.store.fail("append", StoreTimeout("not in, or not yet"))
    scene.store.fail("settle", StoreTimeout("away"))
    batch = scene.batch(draft(key="k1"))
    running = asyncio.create_task(scene.appender.run(batch))
    await settled()
    for waiting in next(iter(batch.sends.values())):
        scene.appender.refuse(waiting, unavailable("unknown"))
    await running
    assert scene.seqs() == {"k1": [("store_unavailable", "unknown")]}
    assert (scene.commits, batch.marking) == ([], MARKING)


@in_virtual_time
async def test_mark_stays_where_the_outcome_of_one_send_was_never_known() -> None:
    """It is not asked about any more, so it may be in the store, and nothing of it was handed on."""
    scene = Scene()
    scene.store.fail("append", StoreTimeout("not in, or not yet"))
    scene.store.fail("settle", StoreTimeout("away"))
    batch = scene.batch(draft(key="k1"), draft(key="k2"))
    running = asyncio.create_task(scene.appender.run(batch))
    await settled()
    for waiting in next(iter(batch.sends.values())):
        scene.appender.refuse(waiting, unavailable("unknown"))
    await running
    assert scene.seqs() == {"k1": [("store_unavailable", "unknown")], "k2": [1]}
    assert [commit.marking for commit in scene.commits] == [None]
    assert batch.marking == MARKING


@in_virtual_time
async def test_a_repeated_send_has_the_place_of_the_first() -> None:
    """Days later, on whichever instance; beside it new ones go in."""
    scene = Scene()
    await scene.appender.run(scene.batch(draft(key="k1")))
    scene.answers.clear()
    await passed(7 * 24 * 3600)
    await scene.appender.run(scene.batch(draft(key="k2"), draft(key="k1")))
    assert scene.seqs() == {"k2": [2], "k1": [1]}
    (repeated,) = scene.answers["k1"]
    assert isinstance(repeated, Settled)
    assert repeated.is_duplicate


@in_virtual_time
async def test_other_content_under_a_known_key_is_a_conflict() -> None:
    """The first stands, the other is told, and no other send waits for it."""
    scene = Scene()
    await scene.appender.run(scene.batch(draft(key="k1", body="first")))
    scene.answers.clear()
    await scene.appender.run(scene.batch(draft(key="k1", body="other"), draft(key="k2")))
    assert scene.seqs() == {"k1": [("idempotency_conflict", "refused")], "k2": [2]}
    assert scene.store.bodies(C) == ["first", "hello"]


@in_virtual_time
async def test_the_culprit_of_a_refusal_is_found_and_the_others_go_in() -> None:
    """One poisonous send must not block its conversation for ever."""
    scene = Scene()

    def judge(each: Draft) -> None:
        if each.body == "poison":
            raise StoreRejected("no such character")

    scene.store.judge_draft = judge
    await scene.appender.run(scene.batch(draft(key="k1"), draft(key="k2", body="poison"), draft(key="k3")))
    assert scene.seqs() == {"k1": [1], "k2": [("invalid_request", "refused")], "k3": [2]}


@in_virtual_time
async def test_equal_keys_are_answered_together() -> None:
    """Two devices repeat one send: one document, two equal answers, the second a duplicate."""
    scene = Scene()
    await scene.appender.run(scene.batch(draft(key="k1"), draft(key="k1")))
    assert scene.seqs() == {"k1": [1, 1]}
    assert [a.is_duplicate for a in scene.answers["k1"] if isinstance(a, Settled)] == [False, True]


@in_virtual_time
async def test_who_was_told_unknown_is_settled_but_not_started_again() -> None:
    """The client has its error. Stored messages are delivered; the client repeats the others."""
    scene = Scene()
    scene.store.fail("append", StoreTimeout("lost"))
    answering = scene.store.hold("settle")
    batch = scene.batch(draft(key="k1"), draft(key="k2"))

    running = asyncio.create_task(scene.appender.run(batch))
    await passed(3)
    scene.appender.refuse(batch.sends[draft(key="k1").key][0], CommandError("store_unavailable", "late", outcome="unknown"))
    answering.set()
    await running
    assert scene.seqs() == {"k1": [("store_unavailable", "unknown")], "k2": [1]}
    assert [m.client_message_id for m in scene.store.messages[C]] == ["k2"]


@in_virtual_time
async def test_what_landed_after_its_client_was_told_unknown_is_still_handed_on() -> None:
    """Connected members see it although no client sends it again."""

    scene = Scene()
    scene.store.fail("append", StoreTimeout("lost"), after=True)
    answering = scene.store.hold("settle")
    batch = scene.batch(draft(key="k1"))
    running = asyncio.create_task(scene.appender.run(batch))
    await passed(3)
    scene.appender.refuse_all(Batch(C, dict(batch.sends)), CommandError("store_unavailable", "late", outcome="unknown"))
    answering.set()
    await running
    assert scene.seqs() == {"k1": [("store_unavailable", "unknown")]}
    assert [m.seq for commit in scene.commits for m in commit.messages] == [1]


@in_virtual_time
async def test_an_uncertain_append_is_pursued_for_a_minute_and_then_given_up() -> None:
    """A store that is gone for longer than that: the error is honest, and the lane is free again."""
    scene = Scene()
    scene.store.fail("append", *[StoreTimeout("gone")] * 9)
    scene.store.fail("settle", *[StoreTimeout("gone")] * 900)
    began = LoopClock().monotonic()
    await scene.appender.run(scene.batch(draft(key="k1")))
    assert scene.seqs() == {"k1": [("store_unavailable", "unknown")]}
    assert SETTLE_SECONDS <= LoopClock().monotonic() - began < SETTLE_SECONDS + 3
    assert scene.store.calls["settle"] < 150, "retries have to back off"


@in_virtual_time
async def test_send_behind_a_tail_that_is_too_high_gets_the_next_seq() -> None:
    """Whatever made the remembered tail wrong: one conflict, then the true tail, and no gap."""
    scene = Scene()
    scene.store.put(C, "theirs")
    scene.appender.note_tail(C, 50)
    await scene.appender.run(scene.batch(draft(key="k1"), draft(key="k2")))
    await scene.appender.run(scene.batch(draft(key="k3")))
    assert scene.seqs() == {"k1": [2], "k2": [3], "k3": [4]}
    assert (scene.store.calls["append"], scene.store.calls["settle"]) == (3, 1)


@in_virtual_time
async def test_envelope_raises_the_tail_only_where_it_continues_what_is_known() -> None:
    """A forged seq costs nothing, and what another instance did commit saves the conflict."""
    scene = Scene()
    scene.appender.note_tail(C, 0)
    scene.appender.note_foreign(C, InstanceId("evil"), 51, 51)
    await scene.appender.run(scene.batch(draft(key="k1")))
    scene.store.put(C, "theirs 1", "theirs 2")
    scene.appender.note_foreign(C, InstanceId("two"), 2, 3)
    await scene.appender.run(scene.batch(draft(key="k2")))
    assert scene.seqs() == {"k1": [1], "k2": [4]}
    assert (scene.store.calls["append"], scene.store.calls["settle"]) == (2, 0)


@in_virtual_time
async def test_send_after_the_store_was_restored_follows_what_is_left() -> None:
    """The tail goes back from 50 to 30 under a running instance: the next message is 31."""
    scene = Scene()
    await scene.appender.run(scene.batch(*(draft(key=f"k{number}") for number in range(1, 51))))
    scene.store.truncate(C, 30)
    scene.answers.clear()
    await scene.appender.run(scene.batch(draft(key="k40"), draft(key="new"), draft(key="k20")))
    await scene.appender.run(scene.batch(draft(key="next")))
    assert scene.seqs() == {"k40": [31], "new": [32], "k20": [20], "next": [33]}
    assert len(scene.store.messages[C]) == 33


@in_virtual_time
async def test_send_into_an_emptied_store_is_refused_as_conversation_not_found() -> None:
    """It has no members to show it to: nothing is acknowledged, nothing is stored, and the answer comes at once."""
    scene = Scene()
    await scene.appender.run(scene.batch(draft(key="k1"), draft(key="k2")))
    scene.store.truncate(C, 0)
    scene.store.removed.add(C)
    scene.answers.clear()
    began = LoopClock().monotonic()
    await scene.appender.run(scene.batch(draft(key="k3"), draft(key="k4")))
    assert scene.seqs() == {key: [("conversation_not_found", "refused")] for key in ("k3", "k4")}
    assert scene.store.bodies(C) == []
    assert LoopClock().monotonic() - began < 1


@in_virtual_time
async def test_send_in_doubt_when_its_conversation_is_gone_is_answered_as_unknown() -> None:
    """An attempt without an answer may have been stored before the store was emptied."""
    scene = Scene()
    scene.store.removed.add(C)
    scene.store.fail("append", StoreTimeout("lost"))
    await scene.appender.run(scene.batch(draft(key="k1")))
    assert scene.seqs() == {"k1": [("conversation_not_found", "unknown")]}


@in_virtual_time
async def test_a_commit_says_of_its_own_messages_when_each_was_accepted() -> None:
    """They may have waited together for different times; of what an earlier attempt stored it is not known here."""
    scene = Scene()
    scene.store.put(C, "theirs")
    earlier = scene.batch(draft(key="k0"))
    await scene.appender.run(earlier)
    first = scene.batch(draft(key="k1"))
    await passed(2.0)
    second = scene.batch(draft(key="k2"))
    again = scene.batch(draft(key="k0"))
    scene.store.fail("append", StoreTimeout("late"), after=True)
    await scene.appender.run(Batch(C, again.sends | first.sends | second.sends))
    found = {seq: at for commit in scene.commits[1:] for seq, at in commit.acceptances.items()}
    assert found[4] - found[3] == 2.0
    assert set(found) == {3, 4}


@in_virtual_time
async def test_commit_whose_send_was_given_up_is_as_old_as_that_send() -> None:
    """Its sender was told `unknown` long ago: a message that comes so late is no fast one."""
    scene = Scene()
    given_up = scene.batch(draft(key="k1"))
    scene.appender.refuse(given_up.sends[draft(key="k1").key][0], unavailable("unknown"))
    accepted_at = LoopClock().monotonic()
    await passed(10.0)
    waiting = scene.batch(draft(key="k2"))
    await scene.appender.run(Batch(C, given_up.sends | waiting.sends))
    assert [commit.accepted_at for commit in scene.commits] == [accepted_at]


@in_virtual_time
async def test_a_fault_of_ours_is_told_apart_from_a_mistake_of_the_client() -> None:
    """An alert on refusals must not ring because one client sends nonsense."""
    errors = {
        "refused": (conflict(), not_found("refused"), CommandError("limit_reached", "full", outcome="refused")),
        "unavailable": (unavailable("refused"), CommandError("internal_error", "", outcome="refused")),
        "unknown": (unavailable("unknown"), not_found("unknown")),
    }
    for outcome, told in errors.items():
        scene = Scene()
        for error in told:
            scene.appender.refuse(
                Waiting(draft(key="k"), LoopClock().monotonic(), lambda _: None, bypass_membership=False), error
            )
        counted = {
            each: scene.telemetry.registry.get_sample_value("holdfast_commit_latency_seconds_count", {"outcome": each})
            for each in ("acknowledged", *errors)
        }
        assert counted == {"acknowledged": 0.0} | dict.fromkeys(errors, 0.0) | {outcome: float(len(told))}
