"""Commands on sorted sets."""

from typing import Final

from simulation.redis.commands import command
from simulation.redis.keyspace import Keyspace
from simulation.redis.replies import NOT_AN_INTEGER, SYNTAX, Refused, Reply, Unsupported, boundary, integer, number, shown
from simulation.redis.sorted_set import Bound, SortedSet
from simulation.redis.state import Client, State

_ONE_KEY: Final = (1, 1, 1)
_BOUND: Final = "ERR min or max is not a float"
_OTHER_OPTIONS: Final = frozenset((b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"))


@command("zadd", -4, "write denyoom fast", _ONE_KEY)
def zadd(state: State, client: Client, words: list[bytes]) -> Reply:
    key, *pairs = words
    is_only_if_there = pairs[0].upper() == b"XX"
    pairs = pairs[1:] if is_only_if_there else pairs
    if {each.upper() for each in pairs[:2]} & _OTHER_OPTIONS:
        raise Unsupported("ZADD with another option than XX")
    if not pairs or len(pairs) % 2:
        raise Refused(SYNTAX)
    scores = [number(text) for text in pairs[::2]]
    found = state.keyspace.get(key, SortedSet)
    if found is None and is_only_if_there:
        return 0
    found = state.keyspace.make(key, SortedSet)
    before = len(found)
    for score, member in zip(scores, pairs[1::2], strict=True):
        if not is_only_if_there or found.score(member) is not None:
            found.put(member, score + 0.0)  # -0 becomes 0, as in Redis's listpack
    return len(found) - before


@command("zrem", -3, "write fast", _ONE_KEY)
def zrem(state: State, client: Client, words: list[bytes]) -> Reply:
    found = state.keyspace.get(words[0], SortedSet)
    if found is None:
        return 0
    count = sum(found.remove(member) for member in words[1:])
    state.keyspace.tidy(words[0])
    return count


@command("zscore", 3, "readonly fast", _ONE_KEY)
def zscore(state: State, client: Client, words: list[bytes]) -> Reply:
    score = (state.keyspace.get(words[0], SortedSet) or SortedSet()).score(words[1])
    return None if score is None else shown(score)


@command("zcard", 2, "readonly fast", _ONE_KEY)
def zcard(state: State, client: Client, words: list[bytes]) -> Reply:
    return len(state.keyspace.get(words[0], SortedSet) or ())


# --- by rank ------------------------------------------------------------------------------------------------------------


@command("zrange", -4, "readonly", _ONE_KEY)
def zrange(state: State, client: Client, words: list[bytes]) -> Reply:
    options = [word.upper() for word in words[3:]]
    if set(options) & {b"BYSCORE", b"BYLEX", b"REV", b"LIMIT"}:
        raise Unsupported("ZRANGE by score, by name or backwards")
    return _ranks(state.keyspace, words, options, is_reverse=False)


@command("zrevrange", -4, "readonly", _ONE_KEY)
def zrevrange(state: State, client: Client, words: list[bytes]) -> Reply:
    return _ranks(state.keyspace, words, [word.upper() for word in words[3:]], is_reverse=True)


def _ranks(keyspace: Keyspace, words: list[bytes], options: list[bytes], *, is_reverse: bool) -> Reply:
    if options and set(options) != {b"WITHSCORES"}:
        raise Refused(SYNTAX)
    first, last = integer(words[1]), integer(words[2])
    found = keyspace.get(words[0], SortedSet) or SortedSet()
    entries = found.by_rank(-1 - last, -1 - first)[::-1] if is_reverse else found.by_rank(first, last)
    return _written(entries, has_scores=bool(options))


def _written(entries: list[tuple[float, bytes]], *, has_scores: bool) -> Reply:
    if not has_scores:
        return [member for _, member in entries]
    return [part for score, member in entries for part in (member, shown(score))]


@command("zremrangebyrank", 4, "write", _ONE_KEY)
def zremrangebyrank(state: State, client: Client, words: list[bytes]) -> Reply:
    first, last = integer(words[1]), integer(words[2])
    found = state.keyspace.get(words[0], SortedSet)
    return 0 if found is None else _removed(state.keyspace, words[0], found, found.by_rank(first, last))


def _removed(keyspace: Keyspace, key: bytes, found: SortedSet, entries: list[tuple[float, bytes]]) -> int:
    for _, member in entries:
        found.remove(member)
    keyspace.tidy(key)
    return len(entries)


# --- by score -----------------------------------------------------------------------------------------------------------


def _bound(text: bytes) -> Bound:
    is_exclusive = text[:1] == b"("
    return Bound(boundary(text[1:] if is_exclusive else text, _BOUND), is_exclusive=is_exclusive)


@command("zrangebyscore", -4, "readonly", _ONE_KEY)
def zrangebyscore(state: State, client: Client, words: list[bytes]) -> Reply:
    has_scores, offset, count = _score_options(words[3:])
    low, high = _bound(words[1]), _bound(words[2])
    found = state.keyspace.get(words[0], SortedSet)
    if found is None or offset < 0:
        return []
    entries = found.by_score(low, high)[offset:]
    return _written(entries if count < 0 else entries[:count], has_scores=has_scores)


def _score_options(words: list[bytes]) -> tuple[bool, int, int]:
    """(WITHSCORES, LIMIT offset, LIMIT count; -1 for all)."""
    has_scores, offset, count = False, 0, -1
    rest = iter(words)
    for word in rest:
        if word.upper() == b"WITHSCORES":
            has_scores = True
            continue
        first, second = (next(rest, None), next(rest, None)) if word.upper() == b"LIMIT" else (None, None)
        if first is None or second is None:
            raise Refused(SYNTAX)
        offset, count = integer(first, NOT_AN_INTEGER), integer(second, NOT_AN_INTEGER)
    return has_scores, offset, count


@command("zremrangebyscore", 4, "write", _ONE_KEY)
def zremrangebyscore(state: State, client: Client, words: list[bytes]) -> Reply:
    low, high = _bound(words[1]), _bound(words[2])
    found = state.keyspace.get(words[0], SortedSet)
    return 0 if found is None else _removed(state.keyspace, words[0], found, found.by_score(low, high))
