"""Commands on keys of any kind, and on strings and lists."""

from typing import Final

from simulation.redis.commands import command
from simulation.redis.keyspace import NAMES, List
from simulation.redis.replies import OK, SYNTAX, Refused, Reply, Status, Unsupported, integer
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
def flushall(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words) > 1 or (words and words[0].upper() not in (b"ASYNC", b"SYNC")):
        raise Refused(SYNTAX)
    state.keyspace.clear()
    return OK


# --- deadlines ----------------------------------------------------------------------------------------------------------


@command("pexpire", -3, "write fast", _ONE_KEY)
def pexpire(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words) > 2:
        raise Unsupported("PEXPIRE with an option")
    key, deadline = words[0], _deadline(state, words[1], "pexpire")
    if state.keyspace.find(key) is None:
        return 0
    if deadline <= state.keyspace.now_ms:
        state.keyspace.remove(key)
    else:
        state.keyspace.deadlines[key] = deadline
    return 1


def _deadline(state: State, text: bytes, name: str) -> int:
    amount, now_ms = integer(text), state.keyspace.now_ms
    if not -_MAX_MS <= amount <= _MAX_MS - now_ms:
        raise Refused(f"ERR invalid expire time in '{name}' command")
    return amount + now_ms


@command("pttl", 2, "readonly fast", _ONE_KEY)
def pttl(state: State, client: Client, words: list[bytes]) -> Reply:
    if state.keyspace.find(words[0]) is None:
        return -2
    deadline = state.keyspace.deadlines.get(words[0])
    return -1 if deadline is None else max(0, deadline - state.keyspace.now_ms)


# --- strings ------------------------------------------------------------------------------------------------------------


@command("get", 2, "readonly fast", _ONE_KEY)
def get(state: State, client: Client, words: list[bytes]) -> Reply:
    return state.keyspace.get(words[0], bytes)


@command("set", -3, "write denyoom", _ONE_KEY)
def set_(state: State, client: Client, words: list[bytes]) -> Reply:
    key, value, *options = words
    match [option.upper() for option in options]:
        case [b"NX"]:
            if state.keyspace.find(key) is not None:
                return None
            state.keyspace.put(key, value)
        case [b"PX", text]:
            deadline = _deadline(state, text, "set")
            if deadline <= state.keyspace.now_ms:
                raise Refused("ERR invalid expire time in 'set' command")
            state.keyspace.put(key, value)
            state.keyspace.deadlines[key] = deadline
        case []:
            state.keyspace.put(key, value)
        case _:
            raise Unsupported("SET with another option than NX or PX, or with both")
    return OK


# --- lists: only so that a key can hold something that Holdfast never puts there -----------------------------------------


@command("rpush", -3, "write denyoom fast", _ONE_KEY)
def rpush(state: State, client: Client, words: list[bytes]) -> Reply:
    found = state.keyspace.make(words[0], List)
    found.extend(words[1:])
    return len(found)
