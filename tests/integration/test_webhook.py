"""The webhook as its receiver sees it: over real HTTP, signed, never redirected."""

import base64
import dataclasses
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from holdfast.adapters.machine.clock import SystemClock
from holdfast.adapters.push.webhook import WebhookNotifier, request_id
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.notifications import Notification
from holdfast.errors import PushFailed
from holdfast.launcher.ports import free_port

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
RECORD = Notification("c1:000000000007:ben", UserId("ben"), ConversationId("c1"), 7, UserId("ann"), "see you", 1_700_000_000_000)


class Receiver(HTTPServer):
    """Answers with `status` and keeps what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), _Handler)
        self.status = 204
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real server."""
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def push(url: str) -> None:
    """One attempt."""
    notifier = WebhookNotifier(url, SECRET, 5.0, SystemClock())
    try:
        await notifier.push(RECORD)
    finally:
        await notifier.close()


async def test_a_receiver_can_tell_who_calls_and_what_it_has_seen(receiver: Receiver) -> None:
    """As Standard Webhooks has it: the signature is over id, time and body; the id is the same in every attempt."""
    await push(receiver.url)
    await push(receiver.url)
    ids = set()
    for path, headers, body in receiver.requests:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert headers["idempotency-key"] == headers["webhook-id"]
        assert path == "/hook"
        ids.add(headers["webhook-id"])
        data = json.loads(body)
        assert data["type"] == "message.offline"
        assert data["data"] == {
            "notification_id": "c1:000000000007:ben",
            "user_id": "ben",
            "conversation_id": "c1",
            "seq": 7,
            "message_id": "000000000007",
            "sender": "ann",
            "preview": "see you",
        }
    assert ids == {RECORD.notification_id}


def test_each_record_of_a_large_conversation_has_an_id_of_its_own() -> None:
    """It is made anew once its user has read: a receiver that keeps the ids of a day would take none but the first."""
    large = dataclasses.replace(RECORD, notification_id="c1:ben")
    assert [request_id(dataclasses.replace(large, seq=seq)) for seq in (7, 9)] == ["c1:000000000007:ben", "c1:000000000009:ben"]


@pytest.mark.parametrize(
    ("status", "is_final"), [(307, False), (404, True), (410, True), (429, False), (500, False), (503, False)]
)
async def test_what_is_not_a_yes_is_a_failure_and_no_redirect_is_followed(
    receiver: Receiver, status: int, *, is_final: bool
) -> None:
    """A signed request goes to the configured endpoint or nowhere."""
    receiver.status = status
    with pytest.raises(PushFailed) as caught:
        await push(receiver.url)
    assert caught.value.is_final == is_final
    assert [path for path, _, _ in receiver.requests] == ["/hook"]


async def test_nobody_there_is_a_failure_that_may_pass() -> None:
    with pytest.raises(PushFailed) as caught:
        await push(f"http://127.0.0.1:{free_port()}/hook")
    assert not caught.value.is_final
