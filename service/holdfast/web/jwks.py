"""Public keys of an issuer: fetched in the background, kept through outages, looked up without waiting."""

import asyncio
import json
import logging
import urllib.request
from typing import Any, Final

import jwt

from holdfast.errors import ConfigurationError
from holdfast.loops import Loop
from holdfast.ports import Clock

_REFRESH_SECONDS: Final = 300.0
_UNKNOWN_KID_SECONDS: Final = 10.0  # one fetch for an unknown kid at most that often, whoever asks
_MAX_BYTES: Final = 262_144
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
            self._keys = _usable(self._fetch())
        except Exception as error:  # noqa: BLE001 - whatever an issuer, or a proxy before it, answers
            raise ConfigurationError(f"HOLDFAST_AUTH__JWKS_URL: the keys cannot be fetched: {error}") from None
        if not self._keys:
            raise ConfigurationError("HOLDFAST_AUTH__JWKS_URL: no usable key there (RS256, ES256 or EdDSA, with a kid)")

    @property
    def loop(self) -> Loop:
        """Keeps the keys fresh. An outage keeps those that are known."""
        return Loop("jwks", self._round, _REFRESH_SECONDS)

    async def _round(self) -> None:
        self._wake.clear()
        self._fetched_at = self._clock.monotonic()
        try:
            document = await asyncio.to_thread(self._fetch)
            self._keys = _usable(document) or self._keys
        except Exception as error:  # noqa: BLE001 - whatever an issuer, or a proxy before it, answers: the next try may be better
            _log.warning("keys cannot be fetched; the known ones stay: %r", error)
        try:
            async with asyncio.timeout(_REFRESH_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _fetch(self) -> dict[str, Any]:
        with urllib.request.urlopen(self._url, timeout=5) as answer:  # noqa: S310 - the address is configured, not a client's
            document = json.loads(answer.read(_MAX_BYTES))
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
        if key.key_id and key.algorithm_name in _ALGORITHMS and item.get("use", "sig") == "sig":
            keys[key.key_id] = key
    return keys
