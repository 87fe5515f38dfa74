"""Carries out commands: finds them, refuses what Redis refuses in Redis's order and words, tells replicas what was written."""

import random
from collections.abc import Callable
from typing import Final

from simulation.redis import administration, connection, hashes, keys, pubsub, scripting, zsets  # fill the table of commands
from simulation.redis.commands import Command, WrongNumber, find
from simulation.redis.replies import Refused, Reply, Unsupported
from simulation.redis.state import Client, State, Write

_FILLED: Final = (administration, connection, hashes, keys, pubsub, scripting, zsets)

_OUT_OF_MEMORY: Final = "OOM command not allowed when used memory > 'maxmemory'."
_READ_ONLY: Final = "READONLY You can't write against a read only replica."
_LOADING: Final = "LOADING Redis is loading the dataset in memory"
_NOT_AUTHENTICATED: Final = "NOAUTH Authentication required."
_NO_KEYS: Final = "NOPERM this user has no permissions to access one of the keys used as arguments"
_NO_CHANNELS: Final = "NOPERM this user has no permissions to access one of the channels used as arguments"
_WHILE_SUBSCRIBED: Final = frozenset({"subscribe", "unsubscribe", "ping", "quit"})
_CYCLE_MS: Final = 100  # of active expiry, `hz 10`


class Engine:
    """One Redis without connections. `clock`: seconds since 1970 of the server's own clock; `randomness`: ids and orders."""

    def __init__(self, clock: Callable[[], float], randomness: random.Random) -> None:
        self.state = State(clock, randomness, self._call_of_script)
        self._written: list[list[bytes]] = []
        self._cycle_at = 0

    def execute(self, client: Client, words: list[bytes]) -> Reply:
        """One command of a client.

        Raises:
            Refused: what Redis answers with an error.
            Unsupported: nothing here knows what Redis would answer; remembered in `state.unsupported`.
        """
        self._begin()
        try:
            found = find(words)
            self._admit(client, found, words)
            client.last_command = found.name
            return self._carry_out(client, found, words)
        except Unsupported as error:
            self.state.unsupported.append(str(error))
            raise
        finally:
            self._end()

    def _begin(self) -> None:
        state = self.state
        self.catch_up()
        now = state.keyspace.now_ms = state.now_ms()
        if now >= self._cycle_at or now < self._cycle_at - _CYCLE_MS:
            self._cycle_at = now + _CYCLE_MS
            state.keyspace.expire_some(state.fractions())

    def catch_up(self) -> None:
        """A replica applies what it has heard by now."""

    def _carry_out(self, client: Client, found: Command, words: list[bytes]) -> Reply:
        self.state.calls[found.name] += 1
        reply = found.run(self.state, client, words[found.skipped :])
        if "write" in found.flags:
            self._written.append(words)
        return reply

    def _end(self) -> None:
        written, self._written = self._written, []
        if written:
            self.state.feeds = [feed for feed in self.state.feeds if not feed.is_cut]
            for feed in self.state.feeds:
                feed.hear((self.state.keyspace.now_ms, written))

    def repeat(self, client: Client, write: Write) -> None:
        """A replica carries out what its primary wrote, at the primary's time."""
        self.state.keyspace.now_ms, commands = write
        for words in commands:
            found = find(words)
            found.run(self.state, client, words[found.skipped :])

    # --- what is refused, in the order of `processCommand` --------------------------------------------------------------

    def _admit(self, client: Client, found: Command, words: list[bytes]) -> None:
        state = self.state
        if not client.is_operator:
            self._authorize(client, found, words)
        if "denyoom" in found.flags and state.has_too_little_memory:
            raise Refused(_OUT_OF_MEMORY)
        if "write" in found.flags and state.is_replica:
            raise Refused(_READ_ONLY)
        if client.channels and found.name not in _WHILE_SUBSCRIBED:
            raise Refused(
                f"ERR Can't execute '{found.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
                "this context"
            )
        if state.is_loading and "loading" not in found.flags:
            raise Refused(_LOADING)

    def _authorize(self, client: Client, found: Command, words: list[bytes]) -> None:
        if "no_auth" in found.flags:
            return
        if not client.is_authenticated:
            raise Refused(_NOT_AUTHENTICATED)
        user = self.state.users[client.user]
        if user.is_unrestricted:
            return
        if not user.may_run(found.name):
            raise Refused(f"NOPERM this user has no permissions to run the '{found.name}' command")
        if not user.may_touch(found.keys(words)):
            raise Refused(_NO_KEYS)
        if not user.may_hear(_channels(found, words)):
            raise Refused(_NO_CHANNELS)

    # --- scripts, in the order of `scriptCall` --------------------------------------------------------------------------

    def _call_of_script(self, words: list[bytes]) -> Reply:
        script = self.state.script
        assert script is not None
        try:
            found = find(words)
        except WrongNumber:
            raise Refused("ERR Wrong number of args calling Redis command from script") from None
        except Refused:
            raise Refused("ERR Unknown Redis command called from script") from None
        if "noscript" in found.flags:
            raise Refused("ERR This Redis command is not allowed from script")
        if not script.client.is_operator:
            self._authorize_script(script.client, found, words)
        is_write = "write" in found.flags
        if is_write and self.state.is_replica:
            raise Refused(_READ_ONLY)
        if "denyoom" in found.flags and script.is_out_of_memory and not script.has_written:
            raise Refused(_OUT_OF_MEMORY)
        script.has_written = script.has_written or is_write
        return self._carry_out(script.client, found, words)

    def _authorize_script(self, client: Client, found: Command, words: list[bytes]) -> None:
        user = self.state.users[client.user]
        if user.is_unrestricted:
            return
        if not user.may_run(found.name):
            raise Refused("ERR The user executing the script can't run this command or subcommand")
        if not user.may_touch(found.keys(words)):
            raise Refused(
                "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments"
            )
        if not user.may_hear(_channels(found, words)):
            raise Refused("ERR The user executing the script can't publish to the channel mentioned in the command")


def _channels(found: Command, words: list[bytes]) -> list[bytes]:
    if found.name == "publish":
        return words[1:2]
    return words[1:] if found.name == "subscribe" else []
