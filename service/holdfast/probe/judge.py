"""Compares the messages sent with those that each user was shown, and names broken promises.

Pure: time comes in, violations go out. Two users, numbered 0 and 1. The promises:

* An acknowledged message is shown to both users: else `lost`, after `loss_seconds` in which both were connected. Time in which
  one of them was not connected does not count. A message whose send was not answered may be stored or not.
* Each message is shown once and stored once: else `doubled`.
* Messages are shown in the order of their seq, and a message that was sent after another one was acknowledged has the higher seq:
  else `disordered`.
* A message is shown as it was sent, by the user who sent it: else `changed`.

The order is judged twice: of what the client shows, and of the frames of each connection, which the client would put right.
Everything is bounded: of more than `MAX_SENT` messages the oldest are forgotten, and not judged any more.
"""

from dataclasses import dataclass, field
from typing import Final

from holdfast.domain.bounded import BoundedDict
from holdfast.probe.stream import Kind, Stream

MAX_SENT: Final = 10_000  # more than an hour of two messages a second, at half a kilobyte each
MAX_CONVERSATIONS: Final = 100  # one for good, one a minute for half a minute
MAX_REPORTED: Final = 1_000  # violations that are remembered, so that each is counted once
KINDS: Final[tuple[Kind, ...]] = ("lost", "doubled", "disordered", "changed")
_BOTH: Final = (0, 1)


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken. `user`: the number of the user who saw it."""

    kind: Kind
    user: int
    conversation: str
    seq: int
    detail: str


@dataclass(slots=True)
class Verdict:
    """The findings since the last call.

    Attributes:
        violations: each one once.
        delivered: messages that were shown to the other user.
        undelivered: messages that are lost to the other user.
        latencies: seconds from the send to the other user's client, of messages whose recipient was connected then.
    """

    violations: list[Violation] = field(default_factory=list)
    delivered: int = 0
    undelivered: int = 0
    latencies: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _Sent:
    user: int
    conversation: str
    body: str
    sent_at: float
    floor: int  # the highest seq that was acknowledged in the conversation before this was sent
    is_timed: bool  # its recipient was connected then, as far as the client knew
    seq: int = 0
    committed_at: float = 0.0  # on the clock of the time together
    waiting: set[int] = field(default_factory=lambda: set(_BOTH))  # users that it was not shown to


class Judge:
    """Belongs to one loop; no method waits."""

    def __init__(self, users: tuple[str, str], loss_seconds: float) -> None:
        """`users`: their ids. `loss_seconds`: when an acknowledged message that was not shown is lost."""
        self._users = users
        self._loss_seconds = loss_seconds
        self._sent: dict[str, _Sent] = {}  # by key, the oldest first
        self._tops: dict[str, int] = {}  # conversation -> the highest seq that is known as committed
        self._shown: dict[tuple[int, str], Stream] = {}
        self._frames: dict[tuple[int, str], Stream] = {}
        self._connected_since: list[float | None] = [None, None]
        self._together_before = 0.0
        self._reported = BoundedDict[tuple[Kind, int, str, int], None](MAX_REPORTED)
        self._verdict = Verdict()

    # --- conversations and connections --------------------------------------------------------------------------------

    def follow(self, conversation: str, *, is_new: bool) -> None:
        """Judge this one, too. `is_new`: it has no message yet; both are members from the first one on."""
        self._tops[conversation] = 0
        for user in _BOTH:
            self._shown[user, conversation] = Stream(0 if is_new else None)
        if len(self._tops) > MAX_CONVERSATIONS:
            self.forget(list(self._tops)[1])  # the first one is the one for good

    def forget(self, conversation: str) -> None:
        """Nothing of it counts from now on."""
        self._tops.pop(conversation, None)
        for user in _BOTH:
            self._shown.pop((user, conversation), None)
            self._frames.pop((user, conversation), None)
        self._sent = {key: sent for key, sent in self._sent.items() if sent.conversation != conversation}

    def connected(self, user: int, now: float) -> None:
        """Everything that the user missed was shown; repeated calls change nothing."""
        if self._connected_since[user] is None:
            self._connected_since[user] = now

    def disconnected(self, user: int, now: float) -> None:
        """The user has no connection; repeated calls change nothing."""
        self._together_before = self._together(now)
        self._connected_since[user] = None

    def moves(self, user: int) -> None:
        """The user is about to end its connection on purpose: what is on its way will wait for that."""
        for sent in self._sent.values():
            if sent.user != user and user in sent.waiting:
                sent.is_timed = False

    def rewired(self, user: int) -> None:
        """Frames of this user come by another connection from now on, which begins with whatever comes first."""
        self._frames = {key: stream for key, stream in self._frames.items() if key[0] != user}

    def truncated(self, user: int, conversation: str, last: int) -> None:
        """Frames up to `last` are not sent: the client fetches them."""
        if (stream := self._frames.get((user, conversation))) is not None:
            stream.skip_to(last)

    def reset(self, user: int, conversation: str) -> None:
        """The store was restored: what it does not hold any more is not lost by the service."""
        if conversation not in self._tops:
            return
        self._tops[conversation] = 0
        self._shown[user, conversation] = Stream()
        self._frames.pop((user, conversation), None)
        self._sent = {key: sent for key, sent in self._sent.items() if sent.conversation != conversation}

    # --- messages -----------------------------------------------------------------------------------------------------

    def sent(self, user: int, conversation: str, key: str, body: str, now: float) -> None:
        """About to be sent by `user`; `key` is never used for another message."""
        is_timed = self._connected_since[1 - user] is not None
        self._sent[key] = _Sent(user, conversation, body, now, self._tops.get(conversation, 0), is_timed)
        if len(self._sent) > MAX_SENT:
            del self._sent[next(iter(self._sent))]

    def acknowledged(self, key: str, seq: int, now: float) -> None:
        """The service says that it is stored there, the first time or again."""
        if (sent := self._sent.get(key)) is not None:
            self._place(sent, sent.user, seq, now)

    def received(self, user: int, conversation: str, seq: int, now: float) -> None:
        """A frame came, by the only connection of the user."""
        if conversation in self._tops:
            stream = self._frames.setdefault((user, conversation), Stream())
            if (kind := stream.take(seq, self._together(now))) is not None:
                self._report(kind, user, conversation, seq, "by its frames")

    def shown(self, user: int, conversation: str, key: str, seq: int, now: float, *, sender: str, body: str) -> None:
        """The client showed a message."""
        if conversation not in self._tops:
            return
        if (kind := self._shown[user, conversation].take(seq, self._together(now))) is not None:
            self._report(kind, user, conversation, seq, "by its client")
        sent = self._sent.get(key)
        if sent is None:
            return  # of an earlier probe, or forgotten
        if (sender, body, conversation) != (self._users[sent.user], sent.body, sent.conversation):
            self._report("changed", user, conversation, seq, "not as it was sent")
        self._place(sent, user, seq, now)
        if user in sent.waiting:
            sent.waiting.discard(user)
            if user != sent.user:
                self._deliver(sent, now)

    # --- judgement ----------------------------------------------------------------------------------------------------

    def is_shown_to_all(self, conversation: str) -> bool:
        """Whether no message of the conversation is on its way."""
        return not any(sent.waiting for sent in self._sent.values() if sent.conversation == conversation)

    def check(self, now: float) -> Verdict:
        """The findings since the last call. To be called about every second: a loss is only noticed here."""
        together = self._together(now)
        for sent in self._sent.values():
            if sent.seq and sent.waiting and together - sent.committed_at >= self._loss_seconds:
                self._lose(sent)
        for streams in (self._shown, self._frames):
            for (user, conversation), stream in streams.items():
                for seq in stream.overdue(together, self._loss_seconds):
                    self._report("lost", user, conversation, seq, "a later one came")
        verdict, self._verdict = self._verdict, Verdict()
        return verdict

    def _together(self, now: float) -> float:
        """Seconds in which both were connected, so far."""
        one, other = self._connected_since
        return self._together_before + (0.0 if one is None or other is None else max(0.0, now - max(one, other)))

    def _place(self, sent: _Sent, user: int, seq: int, now: float) -> None:
        conversation = sent.conversation
        if sent.seq == 0:
            sent.seq, sent.committed_at = seq, self._together(now)
            if seq <= sent.floor:
                self._report("disordered", user, conversation, seq, f"sent after {sent.floor} was acknowledged")
            if conversation in self._tops:
                self._tops[conversation] = max(self._tops[conversation], seq)
        elif sent.seq != seq:
            self._report("doubled", user, conversation, seq, f"stored as {sent.seq} as well")

    def _deliver(self, sent: _Sent, now: float) -> None:
        self._verdict.delivered += 1
        if sent.is_timed:
            self._verdict.latencies.append(now - sent.sent_at)

    def _lose(self, sent: _Sent) -> None:
        for user in sorted(sent.waiting):
            self._report("lost", user, sent.conversation, sent.seq, "never shown")
            self._verdict.undelivered += user != sent.user
        sent.waiting.clear()

    def _report(self, kind: Kind, user: int, conversation: str, seq: int, detail: str) -> None:
        violation = (kind, user, conversation, seq)
        if violation in self._reported:
            return
        self._reported[violation] = None
        self._verdict.violations.append(Violation(*violation, detail))
