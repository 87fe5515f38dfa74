"""Users and what an ACL lets them do: the rules that operators of Holdfast are told to write. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import lru_cache
from typing import Final

from simulation.redis.replies import Refused, Unsupported

DEFAULT: Final = b"default"


@dataclass
class User:
    """One user. A new one named `default` may do everything without a password, as Redis's own."""

    name: bytes
    is_enabled: bool = True
    passwords: list[bytes] = field(default_factory=list)
    needs_no_password: bool = True
    may_by_default: bool = True
    exceptions: dict[str, bool] = field(default_factory=dict)
    """For single commands (`info`) and subcommands (`config|set`), those of a command before those of all."""
    keys: list[bytes] = field(default_factory=lambda: [b"*"])
    channels: list[bytes] = field(default_factory=lambda: [b"*"])

    @classmethod
    def restricted(cls, name: bytes) -> "User":
        """What ACL SETUSER makes of a name it does not know: may do nothing."""
        return cls(name, is_enabled=False, needs_no_password=False, may_by_default=False, keys=[], channels=[])

    @property
    def is_unrestricted(self) -> bool:
        """Nothing needs to be asked."""
        return self.may_by_default and not self.exceptions and self.keys == self.channels == [b"*"]

    def copy(self) -> "User":
        """Another one with the same rights."""
        return replace(
            self,
            passwords=list(self.passwords),
            exceptions=dict(self.exceptions),
            keys=list(self.keys),
            channels=list(self.channels),
        )

    def accepts(self, password: bytes) -> bool:
        """Whether AUTH with it succeeds."""
        return self.is_enabled and (self.needs_no_password or password in self.passwords)

    def may_run(self, name: str) -> bool:
        """Whether a command, or subcommand `config|set`, is allowed."""
        outer = name.partition("|")[0]
        return self.exceptions.get(name, self.exceptions.get(outer, self.may_by_default))

    def may_touch(self, keys: list[bytes]) -> bool:
        """Whether all the keys are allowed."""
        return self.keys == [b"*"] or all(any(matches(pattern, key) for pattern in self.keys) for key in keys)

    def may_hear(self, channels: list[bytes]) -> bool:
        """Whether all the channels are allowed."""
        return self.channels == [b"*"] or all(any(matches(pattern, name) for pattern in self.channels) for name in channels)

    def change(self, rule: bytes, commands: set[str]) -> None:
        """One rule of ACL SETUSER; `commands` are the names that exist.

        Raises:
            Refused: Redis knows no such rule.
            Unsupported: Redis may know it, the simulated one does not.
        """
        if rule in _PLAIN:
            _PLAIN[rule](self)
        elif rule[:1] == b">":
            self.passwords.append(rule[1:])
            self.needs_no_password = False
        elif rule[:1] == b"<":
            self.passwords.remove(rule[1:])
        elif rule[:1] == b"~":
            self.keys.append(rule[1:])
        elif rule[:1] == b"&":
            self.channels.append(rule[1:])
        elif rule[:1] in (b"+", b"-"):
            self._change_command(rule, commands)
        else:
            raise Refused(b"ERR Error in ACL SETUSER modifier '%b': Syntax error" % rule)

    def _change_command(self, rule: bytes, commands: set[str]) -> None:
        name = rule[1:].decode().lower()
        if name.startswith("@"):
            raise Unsupported(f"the category {name} in an ACL rule")
        if name not in commands:
            raise Refused(b"ERR Error in ACL SETUSER modifier '%b': Unknown command or category name in ACL" % rule)
        for narrower in [each for each in self.exceptions if each.startswith(f"{name}|")]:
            del self.exceptions[narrower]
        self.exceptions[name] = rule[:1] == b"+"

    def all_commands(self, may: bool) -> None:
        """`+@all`, `-@all`."""
        self.may_by_default = may
        self.exceptions.clear()

    def without_password(self) -> None:
        """`nopass`."""
        self.passwords.clear()
        self.needs_no_password = True


Rule = Callable[[User], None]


def _switch(is_enabled: bool) -> Rule:
    def change(user: User) -> None:
        user.is_enabled = is_enabled

    return change


def _commands(may: bool) -> Rule:
    return lambda user: user.all_commands(may)


def _keys(patterns: list[bytes]) -> Rule:
    def change(user: User) -> None:
        user.keys = list(patterns)

    return change


def _channels(patterns: list[bytes]) -> Rule:
    def change(user: User) -> None:
        user.channels = list(patterns)

    return change


_PLAIN: Final[dict[bytes, Rule]] = {
    b"on": _switch(True),
    b"off": _switch(False),
    b"nopass": User.without_password,
    b"+@all": _commands(True),
    b"allcommands": _commands(True),
    b"-@all": _commands(False),
    b"nocommands": _commands(False),
    b"allkeys": _keys([b"*"]),
    b"~*": _keys([b"*"]),
    b"resetkeys": _keys([]),
    b"allchannels": _channels([b"*"]),
    b"&*": _channels([b"*"]),
    b"resetchannels": _channels([]),
}


@lru_cache(maxsize=256)
def _compiled(pattern: bytes) -> "re.Pattern[str]":
    return re.compile(translate(pattern.decode("latin-1").replace("[^", "[!")))


def matches(pattern: bytes, name: bytes) -> bool:
    """Redis's glob: `*`, `?`, `[a-z]`, `[^a]`."""
    return _compiled(pattern).match(name.decode("latin-1")) is not None
