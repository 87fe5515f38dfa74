"""Keys that are fetched: whatever the issuer answers in between, the next good answer counts."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.adapters.machine.clock import SystemClock
from holdfast.errors import ConfigurationError, KeysUnavailable
from holdfast.loops import Loops
from holdfast.telemetry import Telemetry
from holdfast.web import jwks as web_jwks
from holdfast.web.jwks import Jwks
from support.eventually import eventually

KEY = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
GOOD = json.dumps({"keys": [KEY | {"kid": "good", "alg": "ES256"}]}).encode()
BAD = [b'{"keys":null}', b"[]", b"<html>", b'{"keys":[null,5,{"kty":"EC"}]}', b"[" * 100_000, b""]
SHORT_SECONDS = 0.5  # the deadline of these tests


class Issuer(HTTPServer):
    """Answers with what it is given, then with good keys; claims more than it sends where there is nothing.

    A value that is not bytes answers itself.
    """

    def __init__(self, *answers: "bytes | Callable[[_Handler], None]") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.asked = 0

    @property
    def url(self) -> str:
        """Where its keys are."""
        return f"http://127.0.0.1:{self.server_port}/keys"


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        """The next answer."""
        self.server.asked += 1
        answer = self.server.answers.pop(0) if self.server.answers else GOOD
        if not isinstance(answer, bytes):
            answer(self)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer) or 10))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Quiet."""


@contextmanager
def serving(*answers: "bytes | Callable[[_Handler], None]") -> Iterator[Issuer]:
    """An issuer, until the test is over."""
    server = Issuer(*answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _drip(handler: _Handler, between: bytes) -> None:
    """A little of an answer now and then, without end; until the other side leaves."""
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + between)
        for _ in range(300):
            handler.wfile.write(b"x: y\r\n" if not between else b" ")
            time.sleep(0.1)  # the pace of the drip


async def _is_found(issuer: Issuer) -> None:
    """Returns once the good key is known."""
    jwks = Jwks(issuer.url, SystemClock())
    loops = Loops(asyncio.get_running_loop().time, Telemetry("test"))
    running = asyncio.create_task(loops.run(jwks.loop))

    def is_known() -> bool:
        jwks._fetched_at = 0.0  # a minute has passed: an unknown key is worth another look
        with suppress(KeysUnavailable):
            return jwks.key("good") is not None
        return False

    try:
        await eventually(is_known, within=20)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_no_answer_ends_the_fetching() -> None:
    """Else the first rotation after it would refuse everybody for ever."""
    with serving(*BAD) as issuer:
        await _is_found(issuer)
        assert issuer.asked == len(BAD) + 1


@pytest.mark.parametrize("between", [b"", b"\r\n"])
async def test_an_answer_that_drips_ends_with_its_deadline(monkeypatch: pytest.MonkeyPatch, between: bytes) -> None:
    """Each byte in time, the whole never: without an end to all of it no rotated key would ever be known again."""
    monkeypatch.setattr(web_jwks, "FETCH_SECONDS", SHORT_SECONDS)
    with serving(lambda handler: _drip(handler, between)) as issuer:
        await _is_found(issuer)
        assert issuer.asked == 2


def test_a_redirect_is_no_answer() -> None:
    """An attacker who can make an issuer redirect would name the keys that we accept."""
    with serving() as other:

        def redirect(handler: _Handler) -> None:
            handler.send_response(302)
            handler.send_header("Location", other.url)
            handler.end_headers()

        with serving(redirect) as issuer, pytest.raises(ConfigurationError, match="302"):
            Jwks(issuer.url, SystemClock()).load()
        assert other.asked == 0


def test_an_answer_that_is_larger_than_any_set_of_keys_is_no_answer() -> None:
    """It is not held, and not cut into something that looks whole."""
    large = GOOD[:-1] + b" " * 300_000 + b"}"
    with serving(large, GOOD + b" " * 300_000) as issuer:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="larger"):
                Jwks(issuer.url, SystemClock()).load()
        Jwks(issuer.url, SystemClock()).load()
