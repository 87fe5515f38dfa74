"""The answer to `hello`: everything that the client missed, in order, then live messages.

Live messages are held back, and the heads are fixed. The messages between the client's cursors and the heads are replayed, then
comes `synced`, then the held messages, then live ones. Nothing is awaited between fixing the heads and joining, so there is no
gap. A conversation for which the client has no cursor is replayed from the beginning of the user's membership.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from holdfast.domain.conversations import Membership as MembershipRow
from holdfast.domain.ids import ConversationId, Seq
from holdfast.errors import CommandError
from holdfast.node.connections.connection import Connection
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.conversations.replay import insist, pieces
from holdfast.node.conversations.views import beginning
from holdfast.node.foundation import Process
from holdfast.node.users.rosters import Roster, Rosters
from holdfast.ports import MessageStore, StoreLife
from holdfast.protocol import frames
from holdfast.protocol.codes import CloseCode
from holdfast.settings import LimitSettings


class ResumingStore(StoreLife, MessageStore, Protocol):
    """Which store it is, and the tails of its conversations."""


@dataclass(frozen=True, slots=True, eq=False)
class Hello:
    """`cursors`: None where the client has none. `generation`: of the store that they are of; "" where the client is silent."""

    connection: Connection
    cursors: Mapping[str, Seq] | None
    generation: str = ""


class Resuming:
    """Lives in the loop; keeps nothing between two answers."""

    def __init__(
        self,
        store: ResumingStore,
        conversations: ConversationParts,
        rosters: Rosters,
        process: Process,
        limits: LimitSettings,
    ) -> None:
        self._store = store
        self._hub = conversations.local.hub
        self._conversations = conversations.cache
        self._delivery = conversations.delivery
        self._membership = conversations.membership
        self._replay = conversations.replay
        self._rosters = rosters
        self._clock = process.clock
        self._telemetry = process.telemetry
        self._limits = limits

    async def answer(self, hello: Hello, roster: Roster, began: float) -> None:
        """Everything until the connection is live, or ended.

        `roster`: the user's conversations, read when the connection was opened. `began`: when `hello` came (monotonic seconds).
        """
        connection, cursors, generation = hello.connection, hello.cursors, hello.generation
        memberships = {row.conversation_id: row for row in roster.memberships}
        is_of_this_store = not generation or generation == await insist(connection, self._generation)
        try:
            # A cursor of another store has no meaning in this one: nothing is fetched up to it.
            comparable = cursors if cursors and is_of_this_store else {}
            beyond = await self._reach(connection, memberships, comparable, roster.proof)
        except CommandError:
            connection.transport.close(CloseCode.TRY_AGAIN_LATER, "overloaded")
            return
        if connection.is_ended:
            return
        memberships = {c: row for c, row in memberships.items() if not self._membership.has_left(connection.user_id, row)}
        heads = self._join(connection, memberships)
        connection.unlisted_cursors = {ConversationId(c): seq for c, seq in comparable.items() if c not in memberships}
        if cursors is not None:
            beyond |= set() if is_of_this_store else {c for c in memberships if c in cursors}
            # A head behind the start: delivery then starts with the next live message, as for connections that enter later.
            starts = {c: cursors.get(c, min(row.joined_seq, heads[c])) for c, row in memberships.items()}
            await self._tell_beginnings(connection, {c: seq for c, seq in starts.items() if seq and c not in cursors})
            await self._replay_all(connection, starts, heads, beyond)
        is_resumed = "yes" if cursors else "no"
        self._telemetry.resumes.labels(is_resumed).inc()
        told = await insist(connection, partial(self._rosters.finish, connection.user_id, roster, heads))
        if told is None:
            return
        connection.missed |= {c: None for c, revision in told[1].items() if revision == 0}  # not in the list: a member still?
        read_seqs, revisions = ({str(c): number for c, number in numbers.items()} for numbers in told)
        synced = frames.Synced(heads={str(c): head for c, head in heads.items()}, read_seqs=read_seqs, revisions=revisions)
        connection.write(frames.frame(synced))
        self._telemetry.resume_seconds.labels(is_resumed).observe(self._clock.monotonic() - began)
        await connection.transport.writable()
        if connection.is_behind:
            connection.transport.close(CloseCode.SLOW_CONSUMER, "slow_consumer")
        elif not connection.is_ended:
            self._go_live(connection)
        await self._catch_up_on_members(connection)

    def _go_live(self, connection: Connection) -> None:
        """Messages that came while `hello` was being answered belong to the replay (see `reading.shown_live`)."""
        heard = connection.conversations or {}
        heard.update((c, local.shown) for c in heard if (local := self._delivery.locals.get(c)) is not None)
        connection.go_live()

    async def _generation(self) -> str:
        return self._delivery.generation or await self._store.generation()  # unknown while the first contact is under way

    async def _reach(
        self,
        connection: Connection,
        memberships: Mapping[ConversationId, MembershipRow],
        cursors: Mapping[str, Seq],
        proof: str,
    ) -> set[ConversationId]:
        """Every conversation local, nothing waiting for a proof, reported changes read, no head behind this client's cursor.

        Without the last, a client that saw more elsewhere would be shown it again. Returns the conversations whose cursor is
        beyond the end even for the store. When this returns, nothing has been awaited since all of it was so.

        Raises:
            CommandError: `overloaded`.
        """
        beyond: set[ConversationId] = set()
        revisions = {c: row.revision for c, row in memberships.items()}
        while not connection.is_ended:
            missing = {c: row.last_seq for c, row in memberships.items() if c not in self._delivery.locals}
            unproven = [c for c in memberships if c not in missing and not self._delivery.is_settled(c)]
            if missing or unproven:
                await self._delivery.activate(missing, proof)
                await self._delivery.settled(unproven)
                continue
            if await self._read_reported(connection, revisions):
                continue
            ahead = {c: cursors[c] for c in memberships if cursors.get(c, 0) > self._delivery.head(c) and c not in beyond}
            if not ahead:
                break
            tails = await insist(connection, partial(self._store.heads, ahead)) or {}
            for conversation_id, tail in tails.items():
                if tail < ahead[conversation_id]:
                    beyond.add(conversation_id)
                else:
                    await self._delivery.gaps.catch_up(conversation_id, tail)
        return beyond

    async def _read_reported(self, connection: Connection, revisions: dict[ConversationId, int]) -> bool:
        """Read what was reported to have changed since the list was read; whether anything was. Its user may be no member now.

        `revisions`: those that are known; afterwards the reported ones, also where the store does not have them.
        """
        reported = {c: hint for c, known in revisions.items() if (hint := self._conversations.unread_hint(c, known))}
        revisions |= reported
        for conversation_id in reported:
            await insist(connection, partial(self._conversations.read, conversation_id))
        return bool(reported)

    def _join(self, connection: Connection, memberships: Mapping[ConversationId, MembershipRow]) -> dict[ConversationId, Seq]:
        """Hold back what is live, and fix the heads, in one go."""
        connection.hold_back()
        connection.conversations = {}
        for conversation_id, row in memberships.items():
            self._hub.join(self._delivery.locals[conversation_id], connection)
            connection.entered[conversation_id] = row.revision
        return {conversation_id: self._delivery.head(conversation_id) for conversation_id in memberships}

    async def _tell_beginnings(self, connection: Connection, starts: Mapping[ConversationId, Seq]) -> None:
        """Conversations for which the client has no cursor, and where they begin for it: it takes the rest for history."""
        user_id = connection.user_id
        for conversation_id, start in starts.items():
            found = await insist(connection, partial(self._conversations.get, conversation_id))
            if found is not None:
                by, indicators = found.created_by, self._limits.indicator_members
                notice = beginning(
                    found, user_id, "member_added", by, start=start, last_read_seq=start, indicator_members=indicators
                )
                connection.write(frames.frame(notice))

    async def _replay_all(
        self,
        connection: Connection,
        starts: Mapping[ConversationId, Seq],
        heads: Mapping[ConversationId, Seq],
        beyond: set[ConversationId],
    ) -> None:
        budget = self._limits.replay_total
        for conversation_id, head in heads.items():
            cursor = starts[conversation_id]
            if conversation_id in beyond:
                connection.write(frames.frame(frames.Reset(conversation_id=conversation_id, last_seq=head)))
            elif cursor < head:
                count = min(head - cursor, self._limits.replay_messages, budget)
                budget -= count
                async for items in self._replay.pages(connection, conversation_id, cursor, cursor + count):
                    for piece in pieces(items):
                        await connection.transport.writable()
                        connection.write(piece)
                    self._delivery.timing.replayed(connection, items)
                if cursor + count < head:
                    first = cursor + count + 1
                    truncated = frames.Truncated(conversation_id=conversation_id, from_seq=first, to_seq=head)
                    connection.write(frames.frame(truncated))

    async def _catch_up_on_members(self, connection: Connection) -> None:
        """Changes of members that came while `hello` was being answered."""
        missed, connection.missed = connection.missed, {}
        for conversation_id in missed:
            await insist(connection, partial(self._membership.refresh, conversation_id))
