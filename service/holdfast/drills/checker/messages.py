"""I1 to I5: what was sent, acknowledged and stored."""

import math
from collections import defaultdict

from holdfast.drills.checker.run import Run, SendId
from holdfast.drills.checker.verdict import Verdict


def check(run: Run, verdict: Verdict) -> None:
    """Judge the store by what senders were told."""
    _check_acks(run, verdict)
    if run.has_store:
        _check_stored(run, verdict)
    _check_order(run, verdict)
    _check_senders(run, verdict)


def _check_acks(run: Run, verdict: Verdict) -> None:
    told: dict[SendId, int] = {}
    for send_id, seq, t in run.acks:
        before = told.setdefault(send_id, seq)
        verdict.check("I3", before == seq, t, f"{_name(send_id)} was acknowledged as {before} and as {seq}")
        if run.has_store:
            found = run.stored[send_id[1]].get(seq)
            sent = run.sends.get(send_id)
            is_it = found is not None and (found.sender, found.key) == (send_id[0], send_id[2])
            is_same = is_it and found is not None and (sent is None or found.digest == sent.digest)
            verdict.check("I1", is_same, t, f"{_name(send_id)} was acknowledged as {seq}; there the store has {found}")
            has_predecessor = seq == 1 or seq - 1 in run.stored[send_id[1]]
            verdict.check("I4", has_predecessor, t, f"{_name(send_id)} was acknowledged as {seq}; the store has no {seq - 1}")


def _check_stored(run: Run, verdict: Verdict) -> None:
    for event in run.stored_twice:
        verdict.check("I4", False, event.t, f"{event.conversation} has {event.seq} twice")
    for conversation, messages in run.stored.items():
        seqs = sorted(messages)
        is_gapless = seqs == list(range(1, len(seqs) + 1))
        verdict.check("I4", is_gapless, run.end, f"{conversation} has {len(seqs)} messages up to {seqs[-1] if seqs else 0}")
        seen: dict[SendId, int] = {}
        for seq in seqs:
            message = messages[seq]
            send_id = (message.sender, conversation, message.key)
            sent = run.sends.get(send_id)
            is_sent = sent is not None and sent.digest == message.digest
            verdict.check("I2", is_sent, run.end, f"{conversation}/{seq}: no client sent {message}")
            was_refused = sent is not None and sent.is_refused and sent.acked_at == math.inf
            verdict.check("I2", not was_refused, run.end, f"{conversation}/{seq}: {_name(send_id)} was refused for good")
            first = seen.setdefault(send_id, seq)
            verdict.check("I3", first == seq, run.end, f"{_name(send_id)} is stored as {first} and as {seq}")


def _check_order(run: Run, verdict: Verdict) -> None:
    """By conversation: in the order of their invocations each is larger than all that were acknowledged before."""
    by_conversation: dict[str, list[SendId]] = defaultdict(list)
    for send_id, sent in run.sends.items():
        if sent.seq:
            by_conversation[send_id[1]].append(send_id)
    for send_ids in by_conversation.values():
        by_ack = sorted(send_ids, key=lambda each: run.sends[each].acked_at)
        highest, highest_id, done = 0, send_ids[0], 0
        for send_id in sorted(send_ids, key=lambda each: run.sends[each].invoked_at):
            sent = run.sends[send_id]
            while done < len(by_ack) and run.sends[by_ack[done]].acked_at < sent.invoked_at:
                if run.sends[by_ack[done]].seq > highest:
                    highest, highest_id = run.sends[by_ack[done]].seq, by_ack[done]
                done += 1
            message = f"{_name(send_id)} became {sent.seq}, sent after {_name(highest_id)} was acknowledged as {highest}"
            verdict.check("I5", sent.seq > highest, sent.acked_at, message)


def _check_senders(run: Run, verdict: Verdict) -> None:
    """I8: nothing is accepted from a user who was removed."""
    for send_id, sent in run.sends.items():
        user, conversation, _ = send_id
        if sent.acked_at < math.inf and run.memberships.knows(conversation):
            was_out = run.memberships.has_been_out(conversation, user, run.bounds.removal_s, sent.invoked_at, sent.acked_at)
            verdict.check("I8", not was_out, sent.acked_at, f"{_name(send_id)} was accepted, sent after a removal")


def _name(send_id: SendId) -> str:
    user, conversation, key = send_id
    return f"{user}'s {key} in {conversation}"
