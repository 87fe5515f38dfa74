"""EVAL, EVALSHA, SCRIPT."""

from typing import Final

from simulation.redis.commands import command
from simulation.redis.replies import OK, Refused, Reply, integer
from simulation.redis.state import Client, Running, State

_SHA_DIGITS: Final = 40
_NO_SCRIPT: Final = "NOSCRIPT No matching script. Please use EVAL."


def _split(words: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """(keys, arguments)."""
    count = integer(words[1])
    if count > len(words) - 2:
        raise Refused("ERR Number of keys can't be greater than number of args")
    if count < 0:
        raise Refused("ERR Number of keys can't be negative")
    return words[2 : 2 + count], words[2 + count :]


@command("eval", -3, "noscript stale skip_monitor no_mandatory_keys movablekeys")
def eval_(state: State, client: Client, words: list[bytes]) -> Reply:
    keys, arguments = _split(words)
    return _run(state, client, state.scripts.define(words[0]), keys, arguments)


@command("evalsha", -3, "noscript stale skip_monitor no_mandatory_keys movablekeys")
def evalsha(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words[0]) != _SHA_DIGITS:
        raise Refused(_NO_SCRIPT)
    keys, arguments = _split(words)
    if not state.scripts.knows(words[0]):
        raise Refused(_NO_SCRIPT)
    return _run(state, client, words[0], keys, arguments)


def _run(state: State, client: Client, sha: bytes, keys: list[bytes], arguments: list[bytes]) -> Reply:
    state.script = Running(client, is_out_of_memory=state.has_too_little_memory)
    try:
        return state.scripts.run(sha, keys, arguments)
    finally:
        state.script = None


@command("script|load", 3, "noscript stale")
def script_load(state: State, client: Client, words: list[bytes]) -> Reply:
    return state.scripts.define(words[0])


@command("script|flush", -2, "noscript")
def script_flush(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words) > 1 or (words and words[0].upper() not in (b"ASYNC", b"SYNC")):
        raise Refused("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    state.scripts.flush()
    return OK
