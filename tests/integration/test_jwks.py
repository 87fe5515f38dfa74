"""Keys that are fetched: whatever the issuer answers in between, the next good answer counts (T13)."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.adapters.machine.clock import SystemClock
from holdfast.loops import Loops
from holdfast.telemetry import Telemetry
from holdfast.web.jwks import Jwks
from support.eventually import eventually

KEY = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
GOOD = json.dumps({"keys": [KEY | {"kid": "good", "alg": "ES256"}]}).encode()
BAD = [b'{"keys":null}', b"[]", b"<html>", b'{"keys":[null,5,{"kty":"EC"}]}', b"[" * 100_000, b""]


class Issuer(HTTPServer):
    """Answers with what it is given, then with good keys; claims more than it sends where there is nothing."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.asked = 0


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        """The next answer."""
        self.server.asked += 1
        answer = self.server.answers.pop(0) if self.server.answers else GOOD
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer) or 10))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Quiet."""


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """One that answers badly before it answers well."""
    server = Issuer(*BAD)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_no_answer_ends_the_fetching(issuer: Issuer) -> None:
    """Else the first rotation after it would refuse everybody for ever."""
    jwks = Jwks(f"http://127.0.0.1:{issuer.server_port}/keys", SystemClock())
    loops = Loops(asyncio.get_running_loop().time, Telemetry("test"))
    running = asyncio.create_task(loops.run(jwks.loop))

    def is_known() -> bool:
        jwks._fetched_at = 0.0  # a minute has passed: an unknown key is worth another look
        return jwks.key("good") is not None

    await eventually(is_known, within=10)
    assert issuer.asked == len(BAD) + 1
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
