"""Scripts: Lua 5.1 as inside Redis, with `redis` and `cjson.decode`. The language is the real one, by `lupa`.

A reply of a script is written as RESP2 in Lua (`prelude.lua`), so that a large answer crosses between the languages once.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lupa.lua51 import LuaRuntime  # type: ignore[import-untyped]  # it ships none

from simulation.redis import cjson
from simulation.redis.replies import Ready, Refused, Reply, Status

_ARGUMENTS: Final = "ERR Lua redis lib command arguments must be strings or integers"
_NO_COMMAND: Final = "ERR Please specify at least one argument for this redis lib call"
_PRELUDE: Final = (Path(__file__).parent / "prelude.lua").read_bytes()


class Interpreter:
    """The scripts that one server knows. `call` carries out a command for a script, or raises `Refused`."""

    def __init__(self, call: Callable[[list[bytes]], Reply]) -> None:
        self._call = call
        self._functions: dict[bytes, Any] = {}
        self._broken: BaseException | None = None
        lua = LuaRuntime(encoding=None, unpack_returned_tuples=False, register_eval=False, register_builtins=False)
        self._table = lua.table_from
        self._null = object()
        load = lua.eval(b"function(source) return assert(loadstring(source, '@server')) end")
        inside = load(_PRELUDE)(self._execute, self._try, self._describe, _sha1_of, self._decode)
        self._compile, self._run = inside[b"compile"], inside[b"run"]

    def flush(self) -> None:
        """SCRIPT FLUSH."""
        self._functions.clear()

    def knows(self, sha: bytes) -> bool:
        """Whether EVALSHA would find it."""
        return sha.lower() in self._functions

    def define(self, source: bytes) -> bytes:
        """Remember a script; returns its hash.

        Raises:
            Refused: it is no Lua.
        """
        sha = _sha1(source)
        if sha not in self._functions:
            made = self._compile(source)
            if isinstance(made, tuple):
                raise Refused(b"ERR Error compiling script (new function): %b" % made[1])
            self._functions[sha] = made
        return sha

    def run(self, sha: bytes, keys: list[bytes], arguments: list[bytes]) -> Ready:
        """Run a script that is known.

        Raises:
            Refused: it failed; the text says where.
        """
        function = self._functions[sha.lower()]
        outcome = self._run(function, self._table(keys), self._table(arguments))
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken
        if outcome[0]:
            return Ready(outcome[1])
        _, text, source, line = outcome
        raise Refused(text + (b" script: %b, on %b:%d." % (sha, source, line) if source else b""))

    def _execute(self, *arguments: Any) -> Any:
        """`redis.call`."""
        return self._for_lua(self._call(words(arguments)))

    def _try(self, *arguments: Any) -> Any:
        """`redis.pcall`."""
        try:
            return self._execute(*arguments)
        except Exception as error:  # noqa: BLE001 - `_describe` keeps what is no error of Redis
            return self._describe(error)

    def _describe(self, error: Exception) -> Any:
        """The error's table. A mistake of ours ends the script, too, however the script takes it: `run` raises it again."""
        if isinstance(error, Refused):
            return self._table({b"err": error.text})
        if isinstance(error, cjson.Malformed):
            return self._table({b"err": str(error).encode(), b"text": str(error).encode()})
        self._broken = self._broken or error
        return self._table({b"err": b"ERR the simulated Redis failed"})

    def _for_lua(self, reply: Reply) -> Any:
        if reply is None:
            return False
        if isinstance(reply, list):
            return self._table([self._for_lua(each) for each in reply])
        if isinstance(reply, Status):
            return self._table({b"ok": bytes(reply)})
        return reply

    def _decode(self, *arguments: Any) -> Any:
        """`cjson.decode`; it takes numbers for texts, as Lua's own functions do."""
        if len(arguments) != 1:
            raise cjson.Malformed("bad argument #1 to 'decode' (expected 1 argument)")
        return self._document(cjson.decode(words(arguments)[0]))

    def _document(self, value: Any) -> Any:
        if value is None:
            return self._null  # a value that is neither nil nor false, as cjson.null
        if isinstance(value, dict):
            return self._table({key: self._document(each) for key, each in value.items()})
        if isinstance(value, list):
            return self._table([self._document(each) for each in value])
        return value


def words(arguments: tuple[Any, ...]) -> list[bytes]:
    """The words of a command as a script gave them: strings, and numbers as Redis writes them.

    Raises:
        Refused: there is none, or one of another kind.
    """
    if not arguments:
        raise Refused(_NO_COMMAND)
    found = []
    for argument in arguments:
        if isinstance(argument, bytes):
            found.append(argument)
        elif isinstance(argument, int | float) and not isinstance(argument, bool):
            found.append(b"%.17g" % argument)
        else:
            raise Refused(_ARGUMENTS)
    return found


def _sha1_of(*arguments: Any) -> bytes:
    """`redis.sha1hex`."""
    if len(arguments) != 1:
        raise Refused("ERR wrong number of arguments")
    return _sha1(words(arguments)[0])


def _sha1(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
