"""Every decoder of values read back: whatever stands there, it answers or says `Undecodable`, and raises nothing else."""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.firestore import documents
from holdfast.adapters.redis import decoding
from holdfast.adapters.redis.roster_form import HeadForm, ListForm, ListPlace
from holdfast.adapters.sqlite import presence, rows
from holdfast.adapters.sqlite.notifications import _record
from holdfast.domain.conversations import Membership
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.marks import mark_of
from holdfast.domain.stored import Stored
from holdfast.errors import Undecodable
from holdfast.protocol import envelopes
from holdfast.protocol.seals import Seals

C, ANN = ConversationId("c1"), UserId("ann")
_PLACE, _SEALS = ListPlace(ANN, "g1", "2|g1"), Seals("s" * 32)
_BOUNDED = settings(max_examples=60, deadline=None)

_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=5,
)
_ODD = (
    b"",
    b"NaN",
    b"inf",
    b"-1",
    b"1e309",
    b"1_0",
    "\u0661\u0662".encode(),
    b"9" * 5_000,
    b"[" * 800,
    b'{"instance_id":"\\ud800","epoch":"1"}',
)
_raw = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(_ODD),
    _json.map(lambda value: json.dumps(value).encode()),
)
_scalar = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=8), st.just("\ud800"),
    st.datetimes(timezones=st.just(UTC)), st.integers(min_value=1 << 60),
)  # fmt: skip
_value = st.one_of(
    _scalar, st.lists(_scalar, max_size=3), st.dictionaries(st.text(max_size=5) | st.integers(), _scalar, max_size=3)
)

_REDIS: dict[str, Callable[..., Any]] = {
    "text": decoding.text,
    "number": decoding.number,
    "seq": decoding.seq,
    "score": decoding.score,
    "instance_name": decoding.instance_name,
    "epoch": decoding.epoch,
    "connection": lambda raw: decoding.connection(ANN, raw, raw),
    "lease": lambda raw: decoding.lease(raw, raw, raw, raw, raw, raw),
    "fate": lambda raw: decoding.lease(b"one", raw, raw, raw, raw, raw),
    "roster": lambda raw: ListForm(None).rows(_PLACE, raw, (raw, raw, 0, *[raw] * 5), 0),
    "roster_numbers": lambda raw: ListForm(None).rows(_PLACE, b"", (b"c1", raw, 0, *[b"1"] * 5), 0),
    "signed_roster": lambda raw: ListForm(_SEALS).rows(_PLACE, raw, (b"c1", b"1 2 3 4 5 6 7", 0, *[b"1"] * 5), 0),
    "head": lambda raw: HeadForm(_SEALS).newest(Membership(C, 1, 1, 1, 1, 1), "g1", [raw] * 5),
    "tail": lambda raw: HeadForm(_SEALS).tail(C, "g1", raw, raw),
    "mark": lambda raw: mark_of(decoding.text(raw)),
    "envelope": envelopes.decode,
    "message_frame": envelopes.decode_message,
}
_WRITTEN = DatetimeWithNanoseconds(2026, 1, 31, tzinfo=UTC)
_NAMES = {
    "message": "sender clientMessageId body metadataJson sentAt",
    "conversation": "members membersVersion revision title metadataJson createdBy createdAt digest lastSeq "
    "lastMessage lastMessageAt joined",
    "membership": "membersVersion revision lastSeq lastMessageAt joined memberCount",
    "bulletin": "name epoch beat mode heads members users receipts left earlier overflow server isCut isOut isEnded beats isDead "
    "aliveAt",
    "notification": "userId conversationId seq sender preview createdAt attempts",
    "sqlite_notification": "id user_id conversation_id seq sender preview created_at_ms attempts",
}
_STORED: dict[str, Callable[[Stored], Any]] = {
    "message": lambda stored: documents.message(C, "000000000001", stored),
    "conversation": lambda stored: documents.conversation("c1", stored),
    "membership": lambda stored: documents.membership("c1", ANN, stored),
    "bulletin": lambda stored: documents.bulletin("one", stored, _WRITTEN),
    "notification": lambda stored: documents.notification("n", stored),
    "sqlite_notification": _record,
}


@pytest.mark.parametrize("decoder", sorted(_REDIS))
@given(raw=_raw)
@_BOUNDED
def test_bytes_of_redis_are_read_or_said_to_be_unreadable(decoder: str, raw: bytes) -> None:
    """An exception of another kind would end what reads them."""
    with contextlib.suppress(Undecodable):
        _REDIS[decoder](raw)


@pytest.mark.parametrize("decoder", sorted(_STORED))
@given(data=st.data())
@_BOUNDED
def test_documents_are_read_or_said_to_be_unreadable(decoder: str, data: st.DataObject) -> None:
    """Fields missing, of another type, of another size: the rest of the document still counts."""
    decode, names = _STORED[decoder], _NAMES[decoder].split()
    fields = data.draw(st.dictionaries(st.sampled_from(names), _value))
    stored = Stored(data.draw(st.sampled_from([fields, fields, fields, None, [], "x"])))
    with contextlib.suppress(Undecodable):
        found = decode(stored)
        for each in (getattr(found, name, "") for name in ("body", "sender", "preview", "title", "metadata_json", "digest")):
            (each or "").encode()  # it goes into frames


@given(row=st.lists(_scalar, min_size=6, max_size=6))
@_BOUNDED
def test_a_damaged_message_of_sqlite_keeps_its_place(row: list[Any]) -> None:
    """Without it no client could show the messages behind it."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        found = rows.message(connection, (C, 7, *row))
    assert found.seq == 7
    found.body.encode()


@given(text=_raw.map(lambda raw: raw.decode(errors="replace")) | _scalar)
@_BOUNDED
def test_a_bulletin_of_sqlite_is_read_or_said_to_be_unreadable(text: object) -> None:
    """One of them used to stop the reading of all."""
    with contextlib.suppress(Undecodable):
        presence._bulletin(text)


@given(since=_value)
@_BOUNDED
def test_a_flag_that_says_no_time_means_all_of_it(since: object) -> None:
    """Missed messages are looked for from the beginning rather than not at all."""
    flagged = documents.flag_ms({"catchupSince": since})
    assert isinstance(since, datetime) or flagged == 0


def test_a_whole_document_is_not_called_damaged() -> None:
    """The count is an alarm: it must stay 0 while all is well."""
    at = datetime.now(UTC)
    message = Stored({"seq": 1, "sender": "a", "clientMessageId": "k", "body": "", "metadataJson": '{"a":1}', "sentAt": at})
    assert documents.message(C, "000000000001", message).metadata_json == '{"a":1}'
    bulletin = Stored(
        {
            "epoch": "1",
            "beat": 1,
            "mode": "ok",
            "heads": {"c1": 1},
            "members": {},
            "users": ["a"],
            "receipts": {},
            "overflow": False,
        }
    )
    documents.bulletin("one", bulletin, _WRITTEN)
    assert not message.is_damaged
    assert not bulletin.is_damaged
