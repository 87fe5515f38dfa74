"""Public keys of an issuer: fetched in the background, kept through outages, looked up without waiting.

Until they were fetched once, no token of the issuer can be verified: refusals are retryable, and the instance is not ready.

They come from the address that is configured and from no other: a redirect is no answer. All of an answer has 5 s and 256 KB.
"""

import asyncio
import json
import logging
import math
import ssl
from typing import Any, Final

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from holdfast.domain.bounded import BoundedDict
from holdfast.errors import ConfigurationError, KeysUnavailable
from holdfast.loops import Loop
from holdfast.ports import Clock
from holdfast.waiting import is_set_within

_REFRESH_SECONDS: Final = 300.0
_RETRY_SECONDS: Final = 5.0  # after a fetch that failed
_LOG_SECONDS: Final = 30.0
_UNKNOWN_KID_SECONDS: Final = 10.0  # at most one fetch for an unknown kid in that time, for all callers together
_ASKED_SECONDS: Final = 60.0  # a kid that was unknown then may be published since
_MAX_ASKED: Final = 64
_MAX_BYTES: Final = 262_144
_MIN_RSA_BITS: Final = 2_048  # RFC 7518 §3.3
FETCH_SECONDS: Final = 5.0
"""For all of it, from the look-up of the name to the last byte."""

PATIENCE_SECONDS: Final = 900.0
"""How long known keys may go without a refresh before the loop counts as failing: a provider may be away for some minutes."""

_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")

_log = logging.getLogger(__name__)


class Jwks:
    """Keys by `kid`. `loop` fetches; `key` never waits."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._wake = asyncio.Event()
        self._asked_at = BoundedDict[str, float](_MAX_ASKED)  # of kids that were not known
        self._fetched_at = 0.0
        self._known_as_of = 0.0
        self._succeeded_at = 0.0
        self._logged_at = -_LOG_SECONDS

    @property
    def is_known(self) -> bool:
        """Whether keys were fetched at least once."""
        return bool(self._keys)

    def key(self, kid: object) -> Any | None:
        """The key; None: the issuer has none of that name.

        Raises:
            KeysUnavailable: that cannot be told before the next fetch, which this causes: the issuer may just have made it.
        """
        if not isinstance(kid, str):
            return None
        key = self._keys.get(kid)
        if key is None and not self._is_absent(kid, self._clock.monotonic()):
            raise KeysUnavailable("the issuer's keys are being fetched")
        return key

    def _is_absent(self, kid: str, now: float) -> bool:
        """A fetch that began after this key was first asked for, in this minute, did not find it."""
        asked_at = self._asked_at.get(kid)
        if asked_at is None or now - asked_at > _ASKED_SECONDS:
            asked_at = self._asked_at[kid] = now
        if asked_at < self._known_as_of:
            return True
        if now - self._fetched_at > _UNKNOWN_KID_SECONDS:
            self._wake.set()
        return False

    def load(self) -> None:
        """Fetch the keys once, and wait for them: for a command.

        Raises:
            ConfigurationError: they cannot be fetched, or none of them is usable.
        """
        try:
            self._keys, self._known_as_of = asyncio.run(self._fetch()), math.inf  # a command fetches no second time
        except Exception as error:  # noqa: BLE001 - whatever an issuer, or a proxy before it, answers
            raise ConfigurationError(f"HOLDFAST_AUTH__JWKS_URL: the keys cannot be fetched: {error}") from None

    @property
    def loop(self) -> Loop:
        """Keeps the keys fresh. An outage keeps those that are known.

        A round raises `KeysUnavailable` while no keys were ever fetched, and when they are older than `PATIENCE_SECONDS`.
        """
        return Loop("jwks", self._round, _RETRY_SECONDS, busy_seconds=2 * _REFRESH_SECONDS)  # a round waits for the next refresh

    async def _round(self) -> None:
        self._wake.clear()
        self._fetched_at = self._clock.monotonic()
        try:
            self._keys = await self._fetch()
        except Exception as error:  # whatever an issuer, or a proxy before it, answers: the next try may be better
            self._log_failure(error)
            await self._wait(_RETRY_SECONDS)
            if not self._keys or self._clock.monotonic() - self._succeeded_at > PATIENCE_SECONDS:
                raise KeysUnavailable(f"{error!r}") from error
        else:
            self._known_as_of, self._succeeded_at = self._fetched_at, self._clock.monotonic()
            await self._wait(_REFRESH_SECONDS)

    def _log_failure(self, error: Exception) -> None:
        now = self._clock.monotonic()
        if now - self._logged_at < _LOG_SECONDS:
            return
        self._logged_at = now
        what = "the known ones stay in use" if self._keys else "no token can be verified, and this instance is not ready"
        _log.warning("the keys of HOLDFAST_AUTH__JWKS_URL cannot be fetched; %s: %r", what, error)

    async def _wait(self, seconds: float) -> None:
        """Until then, or until an unknown key is asked for."""
        await is_set_within(self._wake, seconds)

    async def _fetch(self) -> dict[str, Any]:
        keys = _usable(await self._document())
        if not keys:
            raise ValueError("no usable key there (RS256 with 2048 bits or more, ES256 or EdDSA; with a kid)")
        return keys

    async def _document(self) -> dict[str, Any]:
        content = b""
        # The machine's authorities, as SSL_CERT_FILE and SSL_CERT_DIR say; loading them takes tens of milliseconds.
        trusted = await asyncio.to_thread(ssl.create_default_context)
        plain = {"Accept": "application/json", "Accept-Encoding": "identity"}  # a compressed answer may be large after all
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
