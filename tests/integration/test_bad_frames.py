"""Frames that no client of ours sends: each has a clear answer, the socket stays or closes as the table of errors says."""

import json
from typing import Any

import httpx
import pytest

from support.chatting import Chatter
from support.eventually import eventually
from support.hostile import BAD_IDS, Hostile
from support.instances import token
from support.raw_socket import BINARY, CLOSE, CONTINUATION, PING, TEXT, Raw, ws_frame

LIMIT = 131_072
SEND = {"type": "send", "conversation_id": "c", "client_message_id": "m", "body": "x"}
CURSOR = '{"type":"hello","cursors":{"c":%s}}'


def _send(**fields: Any) -> str:
    return json.dumps(SEND | fields)


def _without(name: str) -> str:
    return json.dumps({key: value for key, value in SEND.items() if key != name})


def _raw_send(name: str, text: str) -> str:
    """A send whose field is not what `json.dumps` would write."""
    return _send(**{name: "@"}).replace('"@"', text)


# name -> (the text, code, field); none of them closes the socket
BAD_FRAMES: dict[str, tuple[str, str, str | None]] = {
    "nothing": ("", "invalid_json", None),
    "no json": ("hello", "invalid_json", None),
    "two values": ('{"type":"ping"} {}', "invalid_json", None),
    "comment": ('{"type":"ping"} // x', "invalid_json", None),
    "trailing comma": ('{"type":"ping",}', "invalid_json", None),
    "byte order mark": ('\ufeff{"type":"ping"}', "invalid_json", None),
    "control character": ('{"type":"ping","ref":"\x01"}', "invalid_json", None),
    "nan": ("NaN", "invalid_json", None),
    "nan in a field": (CURSOR % "NaN", "invalid_json", None),
    "infinity": (CURSOR % "Infinity", "invalid_json", None),
    "lone surrogate": (_raw_send("body", r'"\ud800"'), "invalid_json", None),
    "swapped surrogates": (_raw_send("body", r'"\udc00\ud800"'), "invalid_json", None),
    "surrogate in an id": (_raw_send("conversation_id", r'"\udfff"'), "invalid_json", None),
    "surrogate in metadata": (_raw_send("metadata", r'{"a":"\ud800"}'), "invalid_json", None),
    "surrogate as a key": (_raw_send("metadata", r'{"\ud800":1}'), "invalid_json", None),
    "nan in metadata": (_raw_send("metadata", '{"a":NaN}'), "invalid_json", None),
    "number too large for anything": (_raw_send("metadata", '{"a":1e999}'), "invalid_json", None),
    "deep": ('{"type":"ping","x":' + "[" * 50_000 + "]" * 50_000 + "}", "invalid_json", None),
    "deep and open": ('{"type":"ping","x":' + '{"a":' * 20_000, "invalid_json", None),
    "deep metadata": (_raw_send("metadata", '{"a":' + "[" * 1_500 + "]" * 1_500 + "}"), "invalid_json", None),
    "array": ("[]", "invalid_request", "type"),
    "string": ('"ping"', "invalid_request", "type"),
    "null": ("null", "invalid_request", "type"),
    "number": ("1" * 4_000, "invalid_request", "type"),
    "no type": ("{}", "invalid_request", "type"),
    "type is null": ('{"type":null}', "invalid_request", "type"),
    "type is a number": ('{"type":1}', "invalid_request", "type"),
    "type is a list": ('{"type":["ping"]}', "invalid_request", "type"),
    "unknown type": ('{"type":"shout"}', "unknown_type", "type"),
    "a server's type": ('{"type":"welcome"}', "unknown_type", "type"),
    "type in capitals": ('{"type":"PING"}', "unknown_type", "type"),
    "type with a megabyte's prefix": (json.dumps({"type": "x" * 100_000}), "unknown_type", "type"),
    "2**64": (CURSOR % 2**64, "invalid_request", "cursors[...]"),
    "4,000 digits": (CURSOR % ("1" * 4_000), "invalid_request", "cursors[...]"),
    "5,000 digits": (CURSOR % ("1" * 5_000), "invalid_request", "cursors[...]"),
    "negative cursor": (CURSOR % -1, "invalid_request", "cursors[...]"),
    "cursor with a point": (CURSOR % 1.0, "invalid_request", "cursors[...]"),
    "cursor as text": (CURSOR % '"1"', "invalid_request", "cursors[...]"),
    "cursor is true": (CURSOR % "true", "invalid_request", "cursors[...]"),
    "cursors as a list": ('{"type":"hello","cursors":[]}', "invalid_request", "cursors"),
    "cursors null": ('{"type":"hello","cursors":null}', "invalid_request", "cursors"),
    "client too long": (json.dumps({"type": "hello", "client": "x" * 65}), "invalid_request", "client"),
    "ref is a number": ('{"type":"ping","ref":1}', "invalid_request", "ref"),
    "ref too long": (json.dumps({"type": "ping", "ref": "r" * 129}), "invalid_request", "ref"),
    "send without conversation": (_without("conversation_id"), "invalid_request", "conversation_id"),
    "send without id": (_without("client_message_id"), "invalid_request", "client_message_id"),
    "send without body": (_without("body"), "invalid_request", "body"),
    "body is a number": (_send(body=5), "invalid_request", "body"),
    "body is null": (_send(body=None), "invalid_request", "body"),
    "body is empty": (_send(body=""), "invalid_request", "body"),
    "body too large": (_send(body="x" * 16_385), "body_too_large", "body"),
    "body too large in bytes": (_raw_send("body", '"' + "é" * 8_193 + '"'), "body_too_large", "body"),
    "metadata is a list": (_send(metadata=[]), "invalid_request", "metadata"),
    "metadata is text": (_send(metadata="{}"), "invalid_request", "metadata"),
    "metadata is a number": (_send(metadata=1), "invalid_request", "metadata"),
    "metadata too large": (_raw_send("metadata", json.dumps({"a": "x" * 4_089})), "invalid_request", "metadata"),
    "metadata nine deep": (_raw_send("metadata", '{"a":' * 9 + "1" + "}" * 9), "invalid_request", "metadata"),
    "read without message": ('{"type":"read","conversation_id":"c"}', "invalid_request", "message_id"),
    "active is a number": ('{"type":"typing","conversation_id":"c","active":1}', "invalid_request", "active"),
    "refresh without token": ('{"type":"refresh"}', "invalid_request", "token"),
    "token too long": (json.dumps({"type": "refresh", "token": "x" * 8_193}), "invalid_request", "token"),
    "second hello": ('{"type":"hello"}', "invalid_state", None),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_a_bad_frame_is_named_and_the_socket_stays(hostile: Hostile, name: str) -> None:
    """One `error` with its code and field, and the next command on the same socket is served."""
    text, code, field = BAD_FRAMES[name]
    async with Chatter(hostile.serving, hostile.user()) as client:
        await client.send(text)
        error = await client.receive("error")
        assert (error["code"], error.get("field"), error["retryable"]) == (code, field, False)
        assert len(json.dumps(error)) < 1_000, "an error must not carry the abuse back"
        assert (await client.ask(type="ping"))["type"] == "pong"
        assert [frame["type"] for frame in client.frames].count("error") == 1


IDS = {
    "send.conversation_id": ("conversation_id", SEND),
    "send.client_message_id": ("client_message_id", SEND),
    "read.conversation_id": ("conversation_id", {"type": "read", "conversation_id": "c", "message_id": "0" * 11 + "1"}),
    "read.message_id": ("message_id", {"type": "read", "conversation_id": "c", "message_id": "m"}),
    "typing.conversation_id": ("conversation_id", {"type": "typing", "conversation_id": "c", "active": True}),
}


@pytest.mark.parametrize("where", IDS)
async def test_an_id_that_would_name_something_else_is_refused_in_every_field(hostile: Hostile, where: str) -> None:
    """`*` is no channel, `__x__` no document, and 1,501 bytes no key."""
    field, frame = IDS[where]
    async with Chatter(hostile.serving, hostile.user()) as client:
        for name, bad in BAD_IDS.items():
            answer = await client.ask(**frame | {field: bad})
            assert (answer["type"], answer["code"], answer["field"]) == ("error", "invalid_request", field), (name, answer)
        for digits in ("0" * 12, "1", "1" * 13, "\u0660" * 11 + "\u0661", "-00000000001", "1e0000000000"):
            if field == "message_id":
                assert (await client.ask(**frame | {field: digits}))["code"] == "invalid_request", digits


async def test_a_bad_id_as_a_cursor_is_refused_and_hello_may_be_said_again(hostile: Hostile) -> None:
    """Where ids are keys of an object; the refused hello has not happened."""
    client = Chatter(hostile.serving, hostile.user())
    await client.connect(hello=False)
    for name, bad in BAD_IDS.items():
        answer = await client.ask(type="hello", cursors={bad: 1})
        assert (answer["code"], answer["field"]) == ("invalid_request", "cursors"), name
    surplus = {f"c{number}": 0 for number in range(6_000)}
    await client.send({"type": "hello", "cursors": surplus | {"unknown": 10**12 - 1}})
    assert (await client.receive("synced"))["heads"] == {}
    await client.close()


async def test_commands_before_hello_are_refused_and_ping_is_not(hostile: Hostile) -> None:
    """`invalid_state` says what is missing; the answer to a send says that it was not stored."""
    client = Chatter(hostile.serving, hostile.user())
    await client.connect(hello=False)
    for frame in (SEND, *(frame for _, frame in IDS.values()), {"type": "refresh", "token": "x"}):
        answer = await client.ask(**frame)
        assert answer["code"] == "invalid_state"
        assert (answer.get("outcome") == "refused") == (frame["type"] == "send")
    assert (await client.ask(type="ping"))["type"] == "pong"
    await client.close()


# name -> (bytes on the wire, close code, the error frame before it)
FATAL: dict[str, tuple[bytes, int, str | None]] = {
    "binary": (ws_frame(BINARY, b'{"type":"ping"}'), 1003, "unsupported_media_type"),
    "empty binary": (ws_frame(BINARY), 1003, "unsupported_media_type"),
    "binary in pieces": (ws_frame(BINARY, b"a", fin=False) + ws_frame(CONTINUATION, b"b"), 1003, "unsupported_media_type"),
    "bad utf-8": (ws_frame(TEXT, b'{"type":"ping","ref":"\xff"}'), 1007, None),
    "utf-8 of a surrogate": (ws_frame(TEXT, b"\xed\xa0\x80"), 1007, None),
    "overlong utf-8": (ws_frame(TEXT, b"\xc0\xaf"), 1007, None),
    "bad utf-8 in the second piece": (ws_frame(TEXT, b"\xc3", fin=False) + ws_frame(CONTINUATION, b"\x28"), 1007, None),
    "bad utf-8 before the last piece": (ws_frame(TEXT, b"a\xff", fin=False), 1007, None),
    "text that ends within a character": (ws_frame(TEXT, b"\xc3", fin=False) + ws_frame(CONTINUATION), 1007, None),
    "over the limit": (ws_frame(TEXT, b"x" * (LIMIT + 1)), 1009, "frame_too_large"),
    "over the limit in pieces": (
        ws_frame(TEXT, b"x" * LIMIT, fin=False) + ws_frame(CONTINUATION, b"x"),
        1009,
        "frame_too_large",
    ),
    "announced far over the limit": (b"\x81\xff" + (2**40).to_bytes(8, "big") + b"\0" * 4, 1009, "frame_too_large"),
    "length beyond 63 bits": (b"\x81\xff" + b"\xff" * 8 + b"\0" * 4, 1002, None),
    "unmasked": (ws_frame(TEXT, b"{}", masked=False), 1002, None),
    "reserved bit (compression that was not agreed)": (ws_frame(TEXT, b"{}", rsv=4), 1002, None),
    "reserved opcode": (ws_frame(0x3, b"{}"), 1002, None),
    "a continuation of nothing": (ws_frame(CONTINUATION, b"x"), 1002, None),
    "a message within a message": (ws_frame(TEXT, b"x", fin=False) + ws_frame(TEXT, b"x"), 1002, None),
    "a ping in pieces": (ws_frame(PING, b"x", fin=False), 1002, None),
    "a ping too long": (ws_frame(PING, b"x" * 126), 1002, None),
    "a close of one byte": (ws_frame(CLOSE, b"x"), 1002, None),
    "a close with a code that no endpoint may send": (ws_frame(CLOSE, (1005).to_bytes(2, "big")), 1002, None),
}


@pytest.mark.parametrize("name", FATAL)
async def test_what_breaks_the_wire_is_closed_with_its_code(hostile: Hostile, name: str) -> None:
    """The reason goes first as a frame where there is one, and the connection is over within a second or so."""
    data, code, error = FATAL[name]
    async with Raw(hostile.serving) as client:
        await client.open(token(hostile.user()))
        client.send(data)
        got = await client.close_code()
        if "length beyond" in name:
            assert got in (1002, 1009)
        else:
            assert got == code
            assert client.errors() == ([error] if error else [])
        client.send(ws_frame(CLOSE, (1000).to_bytes(2, "big")))
        await client.ended()
    await hostile.assert_alive()


async def test_a_frame_of_exactly_the_limit_is_read(hostile: Hostile) -> None:
    """The limit is what `welcome` says, not one less; the same in pieces, with an empty one between them."""
    text = json.dumps({"type": "ping", "ref": "full", "x": ""})
    text = text[:-2] + "x" * (LIMIT - len(text)) + text[-2:]
    assert len(text) == LIMIT
    async with Raw(hostile.serving) as client:
        await client.open(token(hostile.user()))
        client.send(ws_frame(TEXT, text.encode()))
        assert json.loads((await client.frame())[1]) == {"type": "pong", "ref": "full"}
        client.send(ws_frame(TEXT, text[:70_000].encode(), fin=False) + ws_frame(CONTINUATION, fin=False))
        client.send(ws_frame(PING, b"between") + ws_frame(CONTINUATION, text[70_000:].encode()))
        assert (await client.frame())[1] == b"between"
        assert json.loads((await client.frame())[1]) == {"type": "pong", "ref": "full"}


async def test_a_thousand_made_up_types_make_no_new_metric(hostile: Hostile) -> None:
    """Labels come from fixed sets, whatever clients say."""

    async def series() -> set[str]:
        async with httpx.AsyncClient(verify=False) as prometheus:
            lines = (await prometheus.get(f"{hostile.serving.internal_url}/metrics")).text.splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    async with Chatter(hostile.serving, hostile.user()) as client:
        await client.send({"type": "type-0"})
        await client.receive("error")
        before = await series()
        for number in range(1, 300):
            await client.send({"type": f"type-{number}"})
        await eventually(lambda: len([frame for frame in client.frames if frame["type"] == "error"]) == 300)
        assert await series() - before == set()
