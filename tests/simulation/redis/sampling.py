"""Random commands, plausible and not: what the simulated Redis and a real one have to answer alike."""

import random
from collections.abc import Callable
from typing import Final

Words = list[bytes]

HASHES: Final = (b"h1", b"h2", b"instance:one", b"head:c1", b"head:c2", b"member:u1", b"member:u2", b"connections:u1")
SETS: Final = (b"s1", b"subscriptions:one", b"instances")
SORTED: Final = (b"z1", b"dirty", b"recent:c1")
STRINGS: Final = (b"t1", b"registry:world", b"registry:era", b"fate:one")
LISTS: Final = (b"l1",)
KEYS: Final = HASHES + SETS + SORTED + STRINGS + LISTS
_NAMES: Final = (b"f1", b"f2", b"f3", b"epoch", b"seq", b"generation", b"revision", b".filling", b".proof", b"c1", b"\xff", b"")
_VALUES: Final = (b"1", b"2", b"0", b"-5", b"x", b"", b"\xff\x00", b"12 3", b"g1", b"y" * 70, b"1e309", b"nan")
_SCORES: Final = (
    *(b"0", b"1", b"2", b"3", b"-1", b"1.5", b"0.1", b"1e3", b"+inf", b"-inf", b"inf", b"1e300", b"x", b"nan", b"", b"1e400"),
    *(b"0x10", b"5.", b".5", b"1700000000000", b"+1"),
)
_BOUNDS: Final = (*_SCORES, b"(1", b"(2", b"(0.1", b"(-inf", b"(+inf", b"(", b"(x")
_RANKS: Final = (b"0", b"1", b"-1", b"-2", b"5", b"-9", b"100", b"x", b"01")
_LONG_MS: Final = (b"1000000", b"0", b"-1", b"x", b"9223372036854775807", b"1.5", b"")

_NUMBERS: Final = (
    b"0.1",
    b"1e17",
    b"-3",
    b"1/0",
    b"-1/0",
    b"123456789012345678",
    b"1e15",
    b"2^53",
    b"1.5e-7",
    b"true",
    b"nil",
    b"{}",
)
_PARTS: Final = (
    *(b"{", b"}", b"[", b"]", b",", b":", b" ", b'"', b'"a"', b'"b\xff"', b'{"k":', b"\\", b"\\n", b"\\u0041", b"\\ud83d\\ude00"),
    *(
        b"\\ud800",
        b"\\udc00",
        b"\\u00",
        b"true",
        b"null",
        b"false",
        b"nan",
        b"-inf",
        b"0x1F",
        b"012",
        b"-1.5e3",
        b"1.",
        b".5",
        b"1e",
        b"+1",
    ),
    *(b"\x00", b"\x01", b"x", b"[1,", b'"c":2}', b"[]", b"{}", b'{"d":[1,null,{"e":""}]}'),
)


class Sampler:
    """Draws commands. `random`: the same numbers, the same commands."""

    def __init__(self, randomness: random.Random) -> None:
        self.random = randomness
        self._kinds: tuple[Callable[[], Words], ...] = (
            *(self._hash, self._set, self._sorted, self._ranges),
            *(self._string, self._key, self._deadline, self._list, self._mistake),
        )

    def draw(self) -> Words:
        """One command."""
        return self.random.choice(self._kinds)()

    def some(self, of: tuple[bytes, ...], most: int = 3) -> Words:
        """One or several of them."""
        return [self.random.choice(of) for _ in range(self.random.randint(1, most))]

    def _of(self, keys: tuple[bytes, ...]) -> bytes:
        return self.random.choice(KEYS if self.random.random() < 0.08 else keys)

    def _hash(self) -> Words:
        key, name, value = self._of(HASHES), self.random.choice(_NAMES), self.random.choice(_VALUES)
        return self.random.choice(
            [
                [b"HSET", key, name, value],
                [b"HSET", key, name, value, b"f9", b"v"],
                [b"HSET", key, name],
                [b"HSET", key, name, value, name],
                [b"HSETNX", key, name, value],
                [b"HGET", key, name],
                [b"HMGET", key, *self.some(_NAMES)],
                [b"HGETALL", key],
                [b"hvals", key],
                [b"HKEYS", key],
                [b"HLEN", key],
                [b"HEXISTS", key, name],
                [b"HDEL", key, *self.some(_NAMES)],
            ]
        )

    def _set(self) -> Words:
        key, member = self._of(SETS), self.random.choice(_VALUES)
        return self.random.choice(
            [
                [b"SADD", key, *self.some(_VALUES)],
                [b"SADD", key, *self.some((b"1", b"2", b"30"))],
                [b"SREM", key, *self.some(_VALUES)],
                [b"SMEMBERS", key],
                [b"SISMEMBER", key, member],
                [b"SCARD", key],
                [b"SSCAN", key, self.random.choice((b"0", b"0", b"x")), b"COUNT", self.random.choice((b"100", b"0", b"x"))],
            ]
        )

    def _sorted(self) -> Words:
        key, score, member = self._of(SORTED), self.random.choice(_SCORES), self.random.choice(_VALUES)
        return self.random.choice(
            [
                [b"ZADD", key, score, member],
                [b"ZADD", key, b"XX", score, member],
                [b"ZADD", key, score, member, self.random.choice(_SCORES), self.random.choice(_VALUES)],
                [b"ZADD", key, score, member, b"1"],
                [b"ZREM", key, *self.some(_VALUES)],
                [b"ZSCORE", key, member],
                [b"ZCARD", key],
            ]
        )

    def _ranges(self) -> Words:
        key = self._of(SORTED)
        low, high = self.some(_BOUNDS, 1) + self.some(_BOUNDS, 1)
        first, last = self.some(_RANKS, 1) + self.some(_RANKS, 1)
        limit = [b"LIMIT", *self.some(_RANKS, 1), *self.some(_RANKS, 1)]
        return self.random.choice(
            [
                [b"ZRANGEBYSCORE", key, low, high],
                [b"ZRANGEBYSCORE", key, b"-inf", high, b"WITHSCORES"],
                [b"ZRANGEBYSCORE", key, b"-inf", b"+inf", *limit],
                [b"ZRANGEBYSCORE", key, low, high, *limit, b"withscores"],
                [b"ZRANGEBYSCORE", key, low, high, *self.some((b"LIMIT", b"1", b"NO"), 2)],
                [b"ZRANGE", key, first, last],
                [b"ZRANGE", key, first, last, b"WITHSCORES"],
                [b"ZREVRANGE", key, first, last],
                [b"ZREVRANGE", key, first, last, self.random.choice((b"WITHSCORES", b"NO"))],
                [b"ZREMRANGEBYRANK", key, first, last],
                [b"ZREMRANGEBYSCORE", key, low, high],
            ]
        )

    def _string(self) -> Words:
        key, value = self._of(STRINGS), self.random.choice(_VALUES)
        return self.random.choice(
            [
                [b"SET", key, value],
                [b"SET", key, value, b"NX"],
                [b"SET", key, value, self.random.choice((b"PX", b"px")), self.random.choice((b"90000000000", *_LONG_MS))],
                [b"GET", key],
                [b"GET", key],
            ]
        )

    def _key(self) -> Words:
        keys = self.some((*KEYS, b"none"))
        return self.random.choice(
            [
                [b"DEL", *keys],
                [b"UNLINK", *keys],
                [b"EXISTS", *keys, keys[0]],
                [b"TYPE", keys[0]],
                [b"KEYS", self.random.choice((b"*", b"h*", b"*:one", b"[st]1", b"h[^1]", b"?1", b"a\\*"))],
            ]
        )

    def _deadline(self) -> Words:
        key = self.random.choice(KEYS)
        return self.random.choice(
            [[b"PEXPIRE", key, b"1000000"], [b"PEXPIRE", key, self.random.choice(_LONG_MS)], [b"PTTL", key]]
        )

    def _list(self) -> Words:
        key = self._of(LISTS)
        return self.random.choice([[b"RPUSH", key, *self.some(_VALUES)], [b"DEL", key]])

    def _mistake(self) -> Words:
        """Commands that no client of ours sends."""
        key = self.random.choice(KEYS)
        return self.random.choice(
            [
                [b"GET"],
                [b"GET", key, key],
                [b"CLIENT"],
                [b"EVALSHA", b"a" * 40, b"0"],
                [b"EVALSHA", b"short", b"5"],
                [b"EVAL", b"return redis.call('GET', KEYS[1])", b"1", key],
                [b"EVAL", b"return redis.pcall('HGET', KEYS[1], ARGV[1])", b"1", key, self.random.choice(_NAMES)],
                [b"EVAL", b"return nosuch", b"0"],
                [b"EVAL", b"return ", b"x"],
                [b"EVAL", b"return {1, false, 'x', {ok = 'fine'}, {err = 'MY no'}, 3.9, nil, 4}", b"0"],
                [b"EVAL", b"\nlocal x = nil\nreturn x.y", b"0"],
                [b"PUBLISH", b"c", b"x"],
                [b"EVAL", b"return redis.call('PING', %b)" % self.random.choice(_NUMBERS), b"0"],
            ]
        )

    def document(self) -> bytes:
        """Something that looks like JSON, or as if it had been."""
        return b"".join(self.random.choices(_PARTS, k=self.random.randint(1, 9)))
