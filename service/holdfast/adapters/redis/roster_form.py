"""How conversation lists and heads stand in Redis, and with a bus secret the proof that an instance wrote them.

Pure. A row is the text of seven numbers: members' version, revision, tail, last activity, how many members, where the membership
begins, read cursor. `.signed` covers all rows of a list as they were written, with the user, the token that they depend on, and
until when the list counts. So no row can be added, left out, changed or brought from another list, and a copy of an older list
counts for ten minutes. Later changes have stamps of their own: the numbers of a head, and a read cursor, which with its stamp
follows the seven numbers. A copy of an older one of these is a lower number.

Lists with and without signatures have different layouts. So instances of both kinds, side by side in a rollout, never read each
other's lists: they read the store. Instances of an older version that sign read no lists. They delete them at a change, and what
else they write has no stamp.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from holdfast.adapters.redis import decoding, keys
from holdfast.domain.conversations import Membership, RosterRow
from holdfast.domain.ids import ConversationId, Seq, UserId, is_id
from holdfast.errors import Undecodable
from holdfast.protocol.seals import Seals

PARTS: Final = 8
"""Of each row in the reply of `rosters/look.lua`."""

_LAYOUT: Final = "2"
_SIGNED_LAYOUT: Final = "3~signed"  # 2: proof and rows were not apart in what is signed
_PROOF_END: Final = re.compile(r"\|[0-9a-fA-F]{1,64}(\|\w{0,64}){2}", re.ASCII)  # behind layout and generation
_PERMIT_END: Final = re.compile(r"\|([0-9]{1,15})\|[0-9a-fA-F]{1,64}")  # behind the proof
_ROW_NUMBERS: Final = 7
_STAMPED: Final = 2  # a read cursor that moved, and its stamp before it


@dataclass(frozen=True, slots=True)
class ListPlace:
    """Whose list it is, of which store. `proof`: the token that it depends on."""

    user_id: UserId
    generation: str
    proof: str


class HeadForm:
    """The numbers of `head:{conversation}`, each with its stamp."""

    def __init__(self, seals: Seals | None) -> None:
        """`seals`: what signs them, where there is a secret."""
        self._seals = seals

    def seq_stamp(self, conversation_id: ConversationId, generation: str, seq: Seq) -> bytes:
        """The proof of this seq; empty without a secret."""
        return b"" if self._seals is None else self._seals.stamp(keys.head(conversation_id), _seq(generation, seq))

    def revision_stamp(self, conversation_id: ConversationId, generation: str, revision: int, count: int) -> bytes:
        """The proof of this revision, and that the conversation had so many members then; empty without a secret."""
        value = _revision(generation, revision, count)
        return b"" if self._seals is None else self._seals.stamp(keys.head(conversation_id), value)

    def tail(self, conversation_id: ConversationId, generation: str, seq: Any, stamp: bytes) -> Seq | None:
        """The seq; None where no instance wrote it."""
        try:
            found = decoding.seq(seq)
        except Undecodable:
            return None
        return found if self._is_proven(conversation_id, _seq(generation, found), stamp) else None

    def newest(self, known: Membership, generation: str, head: Sequence[Any]) -> Membership | None:
        """`known` with what the head says beyond it; None where no instance wrote that."""
        conversation_id = known.conversation_id
        try:
            seq, revision, count = decoding.seq(head[0]), decoding.number(head[2]), decoding.number(head[4])
        except Undecodable:
            return None
        if seq > known.last_seq:
            if not self._is_proven(conversation_id, _seq(generation, seq), head[1]):
                return None
            known = replace(known, last_seq=seq)
        if revision > known.revision:
            if not self._is_proven(conversation_id, _revision(generation, revision, count), head[3]):
                return None
            known = replace(known, revision=revision, member_count=count or known.member_count)
        return known

    def _is_proven(self, conversation_id: ConversationId, value: bytes, stamp: bytes) -> bool:
        return self._seals is None or self._seals.has_stamped(keys.head(conversation_id), value, stamp)


class ListForm:
    """The conversation list of a user, as the fields of `member:{user}`."""

    def __init__(self, seals: Seals | None) -> None:
        """`seals`: what signs the list, where there is a secret."""
        self._seals = seals
        self.layout = _LAYOUT if seals is None else _SIGNED_LAYOUT

    def place(self, user_id: UserId, generation: str, proof: str) -> ListPlace:
        """What a list with this token is.

        Raises:
            Undecodable: no list of this store depends on such a token.
        """
        start = f"{self.layout}|{generation}"
        if not proof.startswith(start) or _PROOF_END.fullmatch(proof, len(start)) is None:
            raise Undecodable("no proof of a roster")
        return ListPlace(user_id, generation, proof)

    def permitted(self, user_id: UserId, generation: str, fill_permit: str) -> tuple[ListPlace, int]:
        """The place that this permit is for, and when it was given, by the time of Redis.

        Raises:
            Undecodable: it is no permit for this store.
        """
        place = self.place(user_id, generation, "|".join(fill_permit.split("|")[:-2]))
        end = _PERMIT_END.fullmatch(fill_permit, len(place.proof))
        if end is None:
            raise Undecodable("no permit to write a roster")
        return place, int(end[1])

    def signed(self, place: ListPlace, rows: Sequence[RosterRow], until_ms: int) -> bytes:
        """The field `.signed`; empty without a secret. `until_ms`: the list counts until then, by the store's clock."""
        if self._seals is None:
            return b""
        lines = [(row.membership.conversation_id, text(row)) for row in rows]
        return b"%d %b" % (until_ms, self._seals.stamp(keys.member(place.user_id), _list(place, lines, until_ms)))

    def cursor_stamp(self, user_id: UserId, conversation_id: ConversationId, generation: str, cursor: Seq) -> bytes:
        """The proof of a read cursor that moved; empty without a secret."""
        if self._seals is None:
            return b""
        return self._seals.stamp(_cursor_place(user_id, conversation_id), _seq(generation, cursor))

    def rows(self, place: ListPlace, signed: bytes, found: Sequence[Any], now_ms: int) -> list[RosterRow]:
        """The rows of a reply, without what their heads say.

        Raises:
            Undecodable: it is no list, or with a secret none that an instance wrote and that still counts.
        """
        texts = [found[at + 1].split() for at in range(0, len(found), PARTS)]
        self._verify(place, signed, found[::PARTS], texts, now_ms)
        rows = [_row(found[at * PARTS], numbers[:_ROW_NUMBERS]) for at, numbers in enumerate(texts)]
        moved = [self._moved(place, row, numbers[_ROW_NUMBERS:]) for row, numbers in zip(rows, texts, strict=True)]
        is_moving = [each not in (0, b"0") for each in found[2::PARTS]]
        return [replace(row, last_read_seq=None) if moving else row for row, moving in zip(moved, is_moving, strict=True)]

    def _verify(
        self, place: ListPlace, signed: bytes, names: Sequence[bytes], texts: Sequence[Sequence[bytes]], now_ms: int
    ) -> None:
        """Before anything is made of the rows: there may be ten thousand that no instance wrote."""
        if self._seals is None:
            return
        until, _, stamp = signed.partition(b" ")
        until_ms = decoding.number(until)
        lines = [
            (name.decode(errors="surrogateescape"), b" ".join(words[:_ROW_NUMBERS]).decode(errors="surrogateescape"))
            for name, words in zip(names, texts, strict=True)
        ]
        if now_ms > until_ms or not self._seals.has_stamped(keys.member(place.user_id), _list(place, lines, until_ms), stamp):
            raise Undecodable("no instance wrote this list, or it does not count any more")

    def _moved(self, place: ListPlace, row: RosterRow, more: Sequence[bytes]) -> RosterRow:
        if not more:
            return row
        if self._seals is None or len(more) != _STAMPED:
            raise Undecodable("no row of a roster")
        cursor = decoding.seq(more[1])
        its_place = _cursor_place(place.user_id, row.membership.conversation_id)
        if not self._seals.has_stamped(its_place, _seq(place.generation, cursor), more[0]):
            raise Undecodable("no instance wrote this read cursor")
        return replace(row, last_read_seq=max(row.last_read_seq or 0, cursor))


def text(row: RosterRow) -> str:
    """The row as it is written."""
    m = row.membership
    known = (m.members_version, m.revision, m.last_seq, m.last_active_at_ms, m.member_count, m.joined_seq)
    return " ".join(map(str, (*known, row.last_read_seq or 0)))


def _row(conversation: bytes, found: Sequence[bytes]) -> RosterRow:
    numbers = [decoding.number(each) for each in found]
    name = decoding.text(conversation)
    if len(numbers) != _ROW_NUMBERS or not is_id(name):
        raise Undecodable("no row of a roster")
    members_version, revision, last_seq, active, count, joined_seq, cursor = numbers
    membership = Membership(ConversationId(name), members_version, revision, last_seq, active, count, joined_seq)
    return RosterRow(membership, cursor)


def _list(place: ListPlace, lines: Sequence[tuple[str, str]], until_ms: int) -> bytes:
    """JSON: whatever the parts are, this can be read in one way only. `lines`: each conversation and its row."""
    return json.dumps([place.user_id, place.generation, place.proof, until_ms, len(lines), sorted(lines)]).encode()


def _cursor_place(user_id: UserId, conversation_id: ConversationId) -> str:
    return f"{keys.member(user_id)}/{conversation_id}"


def _seq(generation: str, seq: Seq) -> bytes:
    return f"seq {generation} {seq}".encode()


def _revision(generation: str, revision: int, count: int) -> bytes:
    return f"revision {generation} {revision} {count}".encode()
