"""Commands on hashes and sets."""

from typing import Final

from simulation.redis.commands import command
from simulation.redis.keyspace import Hash, Members
from simulation.redis.replies import NOT_AN_INTEGER, SYNTAX, Refused, Reply, Unsupported, integer
from simulation.redis.state import Client, State

_ONE_KEY: Final = (1, 1, 1)
_MAX_CURSOR: Final = 2**64


@command("hset", -4, "write denyoom fast", _ONE_KEY)
def hset(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words) % 2 == 0:
        raise Refused("ERR wrong number of arguments for 'hset' command")
    found = state.keyspace.make(words[0], Hash)
    before = len(found)
    for name, value in zip(words[1::2], words[2::2], strict=True):
        found[name] = value
    found.note(*words[1:])
    return len(found) - before


@command("hsetnx", 4, "write denyoom fast", _ONE_KEY)
def hsetnx(state: State, client: Client, words: list[bytes]) -> Reply:
    key, name, value = words
    found = state.keyspace.make(key, Hash)
    if name in found:
        return 0
    found[name] = value
    found.note(name, value)
    return 1


@command("hget", 3, "readonly fast", _ONE_KEY)
def hget(state: State, client: Client, words: list[bytes]) -> Reply:
    return (state.keyspace.get(words[0], Hash) or Hash()).get(words[1])


@command("hmget", -3, "readonly fast", _ONE_KEY)
def hmget(state: State, client: Client, words: list[bytes]) -> Reply:
    found = state.keyspace.get(words[0], Hash) or Hash()
    return [found.get(name) for name in words[1:]]


@command("hgetall", 2, "readonly", _ONE_KEY)
def hgetall(state: State, client: Client, words: list[bytes]) -> Reply:
    found = state.keyspace.get(words[0], Hash) or Hash()
    return [part for name in state.keyspace.fields(found) for part in (name, found[name])]


@command("hvals", 2, "readonly", _ONE_KEY)
def hvals(state: State, client: Client, words: list[bytes]) -> Reply:
    found = state.keyspace.get(words[0], Hash) or Hash()
    return [found[name] for name in state.keyspace.fields(found)]


@command("hkeys", 2, "readonly", _ONE_KEY)
def hkeys(state: State, client: Client, words: list[bytes]) -> Reply:
    return state.keyspace.fields(state.keyspace.get(words[0], Hash) or Hash())


@command("hlen", 2, "readonly fast", _ONE_KEY)
def hlen(state: State, client: Client, words: list[bytes]) -> Reply:
    return len(state.keyspace.get(words[0], Hash) or ())


@command("hexists", 3, "readonly fast", _ONE_KEY)
def hexists(state: State, client: Client, words: list[bytes]) -> Reply:
    return int(words[1] in (state.keyspace.get(words[0], Hash) or ()))


@command("hdel", -3, "write fast", _ONE_KEY)
def hdel(state: State, client: Client, words: list[bytes]) -> Reply:
    found = state.keyspace.get(words[0], Hash)
    if found is None:
        return 0
    count = sum(found.pop(name, None) is not None for name in words[1:])
    state.keyspace.tidy(words[0])
    return count


# --- sets ---------------------------------------------------------------------------------------------------------------


@command("sadd", -3, "write denyoom fast", _ONE_KEY)
def sadd(state: State, client: Client, words: list[bytes]) -> Reply:
    found = state.keyspace.make(words[0], Members)
    before = len(found)
    for member in words[1:]:
        if member not in found:
            found[member] = None
            found.note(member)
    return len(found) - before


@command("srem", -3, "write fast", _ONE_KEY)
def srem(state: State, client: Client, words: list[bytes]) -> Reply:
    found = state.keyspace.get(words[0], Members)
    if found is None:
        return 0
    before = len(found)
    for member in words[1:]:
        found.pop(member, None)
    count = before - len(found)
    state.keyspace.tidy(words[0])
    return count


@command("smembers", 2, "readonly", _ONE_KEY)
def smembers(state: State, client: Client, words: list[bytes]) -> Reply:
    return state.keyspace.members(state.keyspace.get(words[0], Members) or Members())


@command("sismember", 3, "readonly fast", _ONE_KEY)
def sismember(state: State, client: Client, words: list[bytes]) -> Reply:
    return int(words[1] in (state.keyspace.get(words[0], Members) or ()))


@command("scard", 2, "readonly fast", _ONE_KEY)
def scard(state: State, client: Client, words: list[bytes]) -> Reply:
    return len(state.keyspace.get(words[0], Members) or ())


@command("sscan", -3, "readonly", _ONE_KEY)
def sscan(state: State, client: Client, words: list[bytes]) -> Reply:
    """The cursor is a place in the order of the hash table, so what stays during a scan is seen, and what moves may be or not."""
    if not words[1].isdigit() or int(words[1]) >= _MAX_CURSOR:
        raise Refused("ERR invalid cursor")
    found = state.keyspace.get(words[0], Members)
    if found is None:
        return [b"0", []]
    count = _scan_count(words[2:])
    entries, cursor = state.keyspace.members(found), 0
    if found.is_table:
        entries, cursor = state.keyspace.after(entries, int(words[1]), count)
    return [b"%d" % cursor, entries]


def _scan_count(words: list[bytes]) -> int:
    if len(words) != 2 or words[0].upper() != b"COUNT":
        raise Unsupported("SSCAN without COUNT, or with a pattern")
    count = integer(words[1], NOT_AN_INTEGER)
    if count < 1:
        raise Refused(SYNTAX)
    return count
