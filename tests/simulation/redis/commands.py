"""The table of commands: names, numbers of arguments, and when Redis refuses one. Filled by the modules beside.

Flags and arities are those of Redis 7.0 (`COMMAND INFO`); a test compares them with a real one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from simulation.redis.replies import Refused, Reply, Unsupported
from simulation.redis.state import Client, State


class WrongNumber(Refused):
    """Of arguments."""


Handler = Callable[[State, Client, list[bytes]], Reply]
"""What a command does. The list holds its arguments without the command's name (and subcommand)."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `arity` counts its name; negative: at least so many. Keys: every `key_step`th, `first_key` to `last_key`."""

    name: str
    run: Handler
    arity: int
    flags: frozenset[str]
    first_key: int
    last_key: int
    key_step: int
    skipped: int
    """How many of the words of a call are the name."""

    def takes(self, count: int) -> bool:
        """Whether a call may have so many words."""
        return count == self.arity if self.arity >= 0 else count >= -self.arity

    def keys(self, words: list[bytes]) -> list[bytes]:
        """The keys that a call names. Of scripts: those that it declares."""
        if "movablekeys" in self.flags:
            return words[3 : 3 + int(words[2])] if words[2].isdigit() else []
        if not self.first_key:
            return []
        end = len(words) + self.last_key + 1 if self.last_key < 0 else self.last_key + 1
        return words[self.first_key : end : self.key_step]


COMMANDS: Final[dict[bytes, Command]] = {}
CONTAINERS: Final[dict[bytes, dict[bytes, Command]]] = {}


def command(name: str, arity: int, flags: str = "", keys: tuple[int, int, int] = (0, 0, 0)) -> Callable[[Handler], Handler]:
    """Put a handler into the table; `config|set` is a subcommand."""

    def register(handler: Handler) -> Handler:
        outer, _, inner = name.upper().encode().partition(b"|")
        made = Command(name, handler, arity, frozenset(flags.split()), *keys, skipped=2 if inner else 1)
        if inner:
            CONTAINERS.setdefault(outer, {})[inner] = made
        else:
            COMMANDS[outer] = made
        return handler

    return register


def find(words: list[bytes]) -> Command:
    """The command that these words call.

    Raises:
        Refused: it takes another number of arguments.
        Unsupported: there is none here, whether Redis has one or not.
    """
    name = words[0].upper()
    found = COMMANDS.get(name)
    if found is None:
        found = _subcommand(name, words)
    if not found.takes(len(words)):
        raise WrongNumber(f"ERR wrong number of arguments for '{found.name}' command")
    return found


def _subcommand(name: bytes, words: list[bytes]) -> Command:
    inside = CONTAINERS.get(name)
    if inside is not None and len(words) < 2:
        raise WrongNumber(b"ERR wrong number of arguments for '%b' command" % name.lower())
    found = inside.get(words[1].upper()) if inside is not None else None
    if found is None and (name, words[1:2]) == (b"CLIENT", [b"SETINFO"]):  # redis-py greets with it, and later versions know it
        raise Refused(b"ERR unknown subcommand '%b'. Try %b HELP." % (words[1][:128], name))
    if found is None:
        raise Unsupported(b" ".join(words[: 1 if inside is None else 2]).decode(errors="replace"))
    return found
