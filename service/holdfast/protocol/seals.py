"""Signatures on values that go through Redis: write access to Redis alone does not make a program an instance.

A seal is two more members at the end of the JSON object, `"key"` (which secret) and `"mac"`. The text stays readable, the header
stays the same, and a reader without seals ignores them. The signature covers the channel, so that an envelope cannot be replayed
on another channel. A replay on its own channel is harmless: the bus repeats envelopes anyway, and they are dropped by seq or
version. A value that is no JSON object has its seal beside it, as a stamp. A stamp covers one place in Redis, as an envelope's
seal covers one channel.
"""

import hashlib
import hmac
from typing import Final

_KEY_DIGITS: Final = 8
_MAC_DIGITS: Final = 32  # half of SHA-256, the least that RFC 2104 §5 recommends
_FORM: Final = b',"key":"%b","mac":"%b"}'
_LENGTH: Final = len(_FORM % (b"k" * _KEY_DIGITS, b"m" * _MAC_DIGITS))
_KEY_AT: Final = len(b',"key":"')


class Seals:
    """Signs with one secret; believes that one and, while secrets are rotated, another. Pure.

    Args:
        secret: at least 32 bytes.
        previous: believed as well, never signed with.
        may_be_unsigned: envelopes without a seal are believed, too: while instances that do not sign are still about.
    """

    def __init__(self, secret: str, previous: str | None = None, *, may_be_unsigned: bool = False) -> None:
        own = _Key(secret)
        self._own = own
        self._keys = {key.key_id: key for key in (own, *([_Key(previous)] if previous is not None else []))}
        self.may_be_unsigned = may_be_unsigned

    def seal(self, channel: str, envelope: bytes) -> bytes:
        """The envelope, a JSON object with at least one member, signed for this channel."""
        body = envelope[:-1]
        return body + _FORM % (self._own.key_id, self._own.mac(channel, body))

    def may_believe(self, channel: str, payload: bytes) -> bool:
        """Whether this is signed for this channel, with one of the secrets."""
        body, seal = payload[:-_LENGTH], payload[-_LENGTH:]
        if not seal.startswith(_FORM[:_KEY_AT]):
            return self.may_be_unsigned
        key = self._keys.get(seal[_KEY_AT : _KEY_AT + _KEY_DIGITS])
        return key is not None and hmac.compare_digest(seal, _FORM % (key.key_id, key.mac(channel, body)))

    def stamp(self, place: str, value: bytes) -> bytes:
        """The seal of a value in this place, as text without spaces."""
        return b"%b:%b" % (self._own.key_id, self._own.mac(place, value))

    def has_stamped(self, place: str, value: bytes, stamp: bytes) -> bool:
        """Whether a process that knows a secret made the stamp, for this value in this place. An empty stamp is refused."""
        key = self._keys.get(stamp[:_KEY_DIGITS])
        return key is not None and hmac.compare_digest(stamp, b"%b:%b" % (key.key_id, key.mac(place, value)))


class _Key:
    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.key_id = hmac.digest(self._secret, b"holdfast bus key id", hashlib.sha256).hex()[:_KEY_DIGITS].encode()

    def mac(self, channel: str, body: bytes) -> bytes:
        signed = b"%b\0%b" % (channel.encode(), body)  # no channel has a NUL: ids are checked
        return hmac.digest(self._secret, signed, hashlib.sha256).hex()[:_MAC_DIGITS].encode()
