"""Commands on keys of any kind, and on strings and lists."""

from typing import Final

from simulation.redis.commands import command
from simulation.redis.keyspace import NAMES, List
from simulation.redis.replies import NOT_AN_INTEGER, OK, SYNTAX, WRONG_TYPE, Refused, Reply, Status, integer
from simulation.redis.state import Client, State
from simulation.redis.users import matches

_MAX_MS: Final = 2**63 - 1
_ONE_KEY: Final = (1, 1, 1)
_ALL_KEYS: Final = (1, -1, 1)


@command("del", -2, "write", _ALL_KEYS)
@command("unlink", -2, "write fast", _ALL_KEYS)
def delete(state: State, client: Client, words: list[bytes]) -> Reply:
    count = 0
    for key in words:
        if state.keyspace.find(key) is not None:
            state.keyspace.remove(key)
            count += 1
    return count


@command("exists", -2, "readonly fast", _ALL_KEYS)
def exists(state: State, client: Client, words: list[bytes]) -> Reply:
    return sum(state.keyspace.find(key) is not None for key in words)


@command("type", 2, "readonly fast", _ONE_KEY)
def type_(state: State, client: Client, words: list[bytes]) -> Reply:
    value = state.keyspace.find(words[0])
    return Status(b"none" if value is None else NAMES[type(value)])


@command("keys", 2, "readonly")
def keys(state: State, client: Client, words: list[bytes]) -> Reply:
    return [key for key in state.keyspace.living() if matches(words[0], key)]


@command("dbsize", 1, "readonly fast")
def dbsize(state: State, client: Client, words: list[bytes]) -> Reply:
    return len(state.keyspace.values)  # keys that have expired count until they are removed, as with Redis


@command("flushall", -1, "write")
@command("flushdb", -1, "write")
def flushall(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words) > 1 or (words and words[0].upper() not in (b"ASYNC", b"SYNC")):
        raise Refused(SYNTAX)
    state.keyspace.clear()
    return OK


# --- deadlines ----------------------------------------------------------------------------------------------------------


def _expire(state: State, words: list[bytes], name: str, unit_ms: int, base_ms: int) -> Reply:
    options = _options(words[2:])
    amount = integer(words[1])
    if not -_MAX_MS <= amount * unit_ms <= _MAX_MS - base_ms:
        raise Refused(f"ERR invalid expire time in '{name}' command")
    key, deadline = words[0], amount * unit_ms + base_ms
    if state.keyspace.find(key) is None:
        return 0
    before = state.keyspace.deadlines.get(key)
    if not _is_wanted(options, before, deadline):
        return 0
    if deadline <= state.keyspace.now_ms:
        state.keyspace.remove(key)
    else:
        state.keyspace.deadlines[key] = deadline
    return 1


def _options(words: list[bytes]) -> set[bytes]:
    options = {word.upper() for word in words}
    for word in words:
        if word.upper() not in (b"NX", b"XX", b"GT", b"LT"):
            raise Refused(b"ERR Unsupported option %b" % word)
    if b"NX" in options and len(options) > 1:
        raise Refused("ERR NX and XX, GT or LT options at the same time are not compatible")
    if {b"GT", b"LT"} <= options:
        raise Refused("ERR GT and LT options at the same time are not compatible")
    return options


def _is_wanted(options: set[bytes], before: int | None, deadline: int) -> bool:
    if b"NX" in options and before is not None:
        return False
    if b"XX" in options and before is None:
        return False
    if b"GT" in options and (before is None or deadline <= before):
        return False
    return not (b"LT" in options and before is not None and deadline >= before)


@command("expire", -3, "write fast", _ONE_KEY)
def expire(state: State, client: Client, words: list[bytes]) -> Reply:
    return _expire(state, words, "expire", 1000, state.keyspace.now_ms)


@command("pexpire", -3, "write fast", _ONE_KEY)
def pexpire(state: State, client: Client, words: list[bytes]) -> Reply:
    return _expire(state, words, "pexpire", 1, state.keyspace.now_ms)


@command("expireat", -3, "write fast", _ONE_KEY)
def expireat(state: State, client: Client, words: list[bytes]) -> Reply:
    return _expire(state, words, "expireat", 1000, 0)


@command("pexpireat", -3, "write fast", _ONE_KEY)
def pexpireat(state: State, client: Client, words: list[bytes]) -> Reply:
    return _expire(state, words, "pexpireat", 1, 0)


def _left_ms(state: State, key: bytes) -> int | None:
    """None where there is no key, -1 without a deadline."""
    if state.keyspace.find(key) is None:
        return None
    deadline = state.keyspace.deadlines.get(key)
    return -1 if deadline is None else max(0, deadline - state.keyspace.now_ms)


@command("pttl", 2, "readonly fast", _ONE_KEY)
def pttl(state: State, client: Client, words: list[bytes]) -> Reply:
    left = _left_ms(state, words[0])
    return -2 if left is None else left


@command("ttl", 2, "readonly fast", _ONE_KEY)
def ttl(state: State, client: Client, words: list[bytes]) -> Reply:
    left = _left_ms(state, words[0])
    return -2 if left is None else left if left < 0 else (left + 500) // 1000


@command("persist", 2, "write fast", _ONE_KEY)
def persist(state: State, client: Client, words: list[bytes]) -> Reply:
    if state.keyspace.find(words[0]) is None:
        return 0
    return int(state.keyspace.deadlines.pop(words[0], None) is not None)


# --- strings ------------------------------------------------------------------------------------------------------------


@command("get", 2, "readonly fast", _ONE_KEY)
def get(state: State, client: Client, words: list[bytes]) -> Reply:
    return state.keyspace.get(words[0], bytes)


@command("set", -3, "write denyoom", _ONE_KEY)
def set_(state: State, client: Client, words: list[bytes]) -> Reply:
    key, value, *rest = words
    flags, deadline = _set_options(state, rest)
    before = state.keyspace.find(key)
    if b"GET" in flags and before is not None and not isinstance(before, bytes):
        raise Refused(WRONG_TYPE)
    answer = before if b"GET" in flags else OK
    if (b"NX" in flags and before is not None) or (b"XX" in flags and before is None):
        return before if b"GET" in flags else None
    kept = state.keyspace.deadlines.get(key) if b"KEEPTTL" in flags else None
    state.keyspace.put(key, value)
    if deadline is not None or kept is not None:
        state.keyspace.deadlines[key] = deadline if deadline is not None else kept or 0
    return answer


_TIMES: Final = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}


def _set_options(state: State, words: list[bytes]) -> tuple[set[bytes], int | None]:
    """The flags, and the deadline in ms."""
    flags: set[bytes] = set()
    time: tuple[bytes, bytes] | None = None
    rest = iter(words)
    for word in rest:
        name = word.upper()
        following = next(rest, None) if name in _TIMES else None
        if name in _TIMES and following is not None and time is None and b"KEEPTTL" not in flags:
            time = (name, following)
        elif name in (b"NX", b"XX", b"GET") or (name == b"KEEPTTL" and time is None):
            flags.add(name)
        else:
            raise Refused(SYNTAX)
        if {b"NX", b"XX"} <= flags:
            raise Refused(SYNTAX)
    return flags, None if time is None else _deadline(state, *time)


def _deadline(state: State, name: bytes, text: bytes) -> int:
    unit_ms, is_relative = _TIMES[name]
    amount = integer(text, NOT_AN_INTEGER)
    base = state.keyspace.now_ms if is_relative else 0
    if amount <= 0 or amount * unit_ms > _MAX_MS - base:
        raise Refused("ERR invalid expire time in 'set' command")
    return amount * unit_ms + base


# --- lists: only so that a key can hold something that Holdfast never puts there -----------------------------------------


@command("rpush", -3, "write denyoom fast", _ONE_KEY)
def rpush(state: State, client: Client, words: list[bytes]) -> Reply:
    found = state.keyspace.make(words[0], List)
    found.extend(words[1:])
    return len(found)


@command("llen", 2, "readonly fast", _ONE_KEY)
def llen(state: State, client: Client, words: list[bytes]) -> Reply:
    return len(state.keyspace.get(words[0], List) or ())
