"""Public keys of an issuer: fetched in the background, kept through outages, looked up without waiting.

They come from the address that is configured and from no other: a redirect is no answer. All of an answer has 5 s and 256 KB.
"""

import asyncio
import json
import logging
import ssl
from typing import Any, Final

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from holdfast.errors import ConfigurationError
from holdfast.loops import Loop
from holdfast.ports import Clock

_REFRESH_SECONDS: Final = 300.0
_UNKNOWN_KID_SECONDS: Final = 10.0  # one fetch for an unknown kid at most that often, whoever asks
_MAX_BYTES: Final = 262_144
_MIN_RSA_BITS: Final = 2_048  # RFC 7518 §3.3
FETCH_SECONDS: Final = 5.0
"""For all of it, from the look-up of the name to the last byte."""

_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")

_log = logging.getLogger(__name__)


class Jwks:
    """Keys by `kid`. `loop` fetches; `key` never waits."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._wake = asyncio.Event()
        self._fetched_at = 0.0

    def key(self, kid: object) -> Any | None:
        """The key, or None; an unknown one causes a fetch, so that a rotated key is known to the next try."""
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None and self._clock.monotonic() - self._fetched_at > _UNKNOWN_KID_SECONDS:
            self._wake.set()
        return key

    def load(self) -> None:
        """Fetch the keys once, and wait for them: for a command.

        Raises:
            ConfigurationError: they cannot be fetched, or none of them is usable.
        """
        try:
            self._keys = _usable(asyncio.run(self._fetch()))
        except Exception as error:  # noqa: BLE001 - whatever an issuer, or a proxy before it, answers
            raise ConfigurationError(f"HOLDFAST_AUTH__JWKS_URL: the keys cannot be fetched: {error}") from None
        if not self._keys:
            raise ConfigurationError(
                "HOLDFAST_AUTH__JWKS_URL: no usable key there (RS256 with 2048 bits or more, ES256 or EdDSA; with a kid)"
            )

    @property
    def loop(self) -> Loop:
        """Keeps the keys fresh. An outage keeps those that are known."""
        return Loop("jwks", self._round, _REFRESH_SECONDS)

    async def _round(self) -> None:
        self._wake.clear()
        self._fetched_at = self._clock.monotonic()
        try:
            self._keys = _usable(await self._fetch()) or self._keys
        except Exception as error:  # noqa: BLE001 - whatever an issuer, or a proxy before it, answers: the next try may be better
            _log.warning("keys cannot be fetched; the known ones stay: %r", error)
        try:
            async with asyncio.timeout(_REFRESH_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _fetch(self) -> dict[str, Any]:
        content = b""
        trusted = ssl.create_default_context()  # the machine's authorities, as SSL_CERT_FILE and SSL_CERT_DIR say
        plain = {"Accept": "application/json", "Accept-Encoding": "identity"}  # what is compressed may be large after all
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(verify=trusted, timeout=FETCH_SECONDS, follow_redirects=False) as http,
            http.stream("GET", self._url, headers=plain) as answer,
        ):
            if answer.status_code != 200:
                raise ValueError(f"the answer is {answer.status_code}")
            async for part in answer.aiter_raw():
                content += part
                if len(content) > _MAX_BYTES:
                    raise ValueError("the answer is larger than any set of keys")
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError("not a JWKS")  # noqa: TRY004 - bad content, whatever its type
        return document


def _usable(document: dict[str, Any]) -> dict[str, Any]:
    """Signature keys with a `kid` and an algorithm that we allow."""
    keys = {}
    for item in document.get("keys", []):
        try:
            key = jwt.PyJWK(item)
        except (jwt.PyJWTError, TypeError, AttributeError):
            continue
        if isinstance(key.key, RSAPublicKey) and key.key.key_size < _MIN_RSA_BITS:
            continue
        if key.key_id and key.algorithm_name in _ALGORITHMS and item.get("use", "sig") == "sig":
            keys[key.key_id] = key
    return keys
