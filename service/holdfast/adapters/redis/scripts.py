"""The Lua scripts: each is one atomic step, within the commands of Redis 6.2, and a file of `lua/`.

The comment at the head of a file says its keys, its arguments and its reply. A line `-- include NAME` stands for
`lua/parts/NAME.lua`. Values are data everywhere: nothing from outside becomes part of a script's text.

The scripts of `lua/leases` and `lua/connections` look at `registry:world`, and those of an owner at its lease, before they write
anything. They answer `{"WORLD"}` or `{"LEASE"}` where those are not as expected, `{"OK", …}` otherwise. A field that holds no
JSON of ours counts as dead and is left alone.

The world is a random id followed by a hash of the server's run id and replication id. A promoted replica, and a server that was
restarted from its snapshot, hold the old world, perhaps without its last writes. A connection that has ended may still be there,
and a new one may be missing. So a world of another server is deleted, by the first script on each new connection and by each
renewal, and every instance registers again. A registration is one such round: a field counts only under a lease that has the same
registration, and was taken in the present world.

The hash `member:{user}` of `lua/rosters` has fields beside conversations that are no ids. `.proof` is the token that its rows
depend on, `.signed` what signs them. `.filling` is the fill permit of the instance that reads the store to write them. `?NAME` is
a write under way of the read cursor of the conversation named by its value.
"""

import hashlib
import re
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

Argument = str | bytes | int | float

_FOLDER: Final = files("holdfast.adapters.redis") / "lua"
_INCLUDE: Final = re.compile(r"^-- include (\w+)\n", re.MULTILINE)
_COMMENT: Final = re.compile(r"^(?:--.*)?\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the hash by which Redis remembers it."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash as Redis does."""
        object.__setattr__(self, "sha", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())

    def by_hash(self, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        """The command for a Redis that knows the script; answered with NOSCRIPT, and nothing done, by one that does not."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)

    def by_source(self, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        """The command for any Redis; teaches it the script."""
        return ("EVAL", self.source, len(keys), *keys, *arguments)


def _text(name: str) -> str:
    """The file with its parts, for Redis: without the lines that are empty or a comment."""
    written = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return _COMMENT.sub("", _INCLUDE.sub(lambda found: _text(f"parts/{found[1]}"), written))


def _script(name: str) -> Script:
    return Script(_text(name))


PUBLISH_COMMIT: Final = _script("bus/publish_commit")
PUBLISH_CHANGE: Final = _script("bus/publish_change")
MARK_DIRTY: Final = _script("bus/mark_dirty")
CLAIM_DIRTY: Final = _script("bus/claim_dirty")

FORGET_FOREIGN_WORLD: Final = _script("leases/forget_foreign_world")
ACQUIRE: Final = _script("leases/acquire")
RENEW: Final = _script("leases/renew")
SET_REGISTERED: Final = _script("leases/set_registered")
RELEASE: Final = _script("leases/release")
INSTANCES: Final = _script("leases/instances")
FORGET: Final = _script("leases/forget")
ENDED: Final = _script("leases/ended")
REMOVED: Final = _script("leases/removed")

REGISTER: Final = _script("connections/register")
UNREGISTER: Final = _script("connections/unregister")
REFRESH: Final = _script("connections/refresh")
CONNECTIONS_OF: Final = _script("connections/connections_of")
CONNECTED: Final = _script("connections/connected")
REAP_USERS: Final = _script("connections/reap_users")
REAP_CHANNELS: Final = _script("connections/reap_channels")

LOOK: Final = _script("rosters/look")
FILL: Final = _script("rosters/fill")
TAILS: Final = _script("rosters/tails")
FORGET_HEADS: Final = _script("rosters/forget_heads")
BEGIN_READS: Final = _script("rosters/begin_reads")
END_READS: Final = _script("rosters/end_reads")

REPAIR: Final = _script("repair")
