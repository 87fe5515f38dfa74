"""An instance with a mechanism switched off, or made to die at a chosen point: `ALTERED=name,… python -m support.altered serve`.

So that a test can show that it would notice: it passes over instances as built, and fails over these.
"""

import asyncio
import dataclasses
import math
import os
import secrets
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast import cli
from holdfast.adapters.redis import scripts
from holdfast.adapters.redis.bus import RedisBus
from holdfast.adapters.redis.roster_form import ListForm
from holdfast.adapters.redis.scripts import Script
from holdfast.adapters.sqlite import messages
from holdfast.adapters.sqlite.store import SqliteStore
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, RunId, Seq
from holdfast.domain.messages import send_key
from holdfast.drills.local.doomed import LAST_WORDS
from holdfast.node import node
from holdfast.node.cluster.announcer import Announcer
from holdfast.node.cluster.bulletins import Bulletins
from holdfast.node.cluster.own_bulletin import OwnBulletin
from holdfast.node.cluster.peers import Peers
from holdfast.node.cluster.window import Window
from holdfast.node.connections.local import LocalConversation
from holdfast.node.conversations import cache
from holdfast.node.conversations.activity import Activity
from holdfast.node.conversations.delivery import Delivery, conversation_channel
from holdfast.node.conversations.entering import Entering, Entrance
from holdfast.node.notifications import decision
from holdfast.node.notifications.offline_backfill import OfflineBackfill
from holdfast.node.recovery import reaper, turns, unfinished_commits
from holdfast.node.recovery.deaths import Deaths, Leases
from holdfast.node.recovery.reaper import Reaper
from holdfast.node.recovery.resync import Resync
from holdfast.node.requests import commands
from holdfast.node.requests.marked_changes import MarkedChanges
from holdfast.node.users.presence import Presence
from holdfast.node.users.rosters import Rosters
from holdfast.ports import PublishedCommit
from support.altered_marks import (
    mark_ends_with_publication,
    marks_go_at_once,
    no_marks,
    no_stored_marks,
    one_mark,
    stale_marks,
)
from support.replacing import replace

_WINDOW_SECONDS = 0.3  # makes a race of microseconds one that a test can hit


async def _nothing(*_: Any, **__: Any) -> None:
    """What a mechanism does that is switched off."""


def die_undecided() -> None:
    """To decide who is notified takes a second, and the instance is killed when that is over for `LAST_WORDS`."""
    decide = decision.Notifications._decide

    async def _decide(self: decision.Notifications, conversation_id: ConversationId, work: decision._Work) -> None:
        await asyncio.sleep(1.0)
        if any(message.body == LAST_WORDS for message in work.messages):
            os.kill(os.getpid(), signal.SIGKILL)
        await decide(self, conversation_id, work)

    replace(decision.Notifications, "_decide", _decide)


def die_after_change() -> None:
    """The instance is killed when a change of members is in the store: no announcement is made, and Redis is as it was."""

    def _announce(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    replace(MarkedChanges, "_announce", _announce)


def count_reads() -> None:
    """What connecting might ask the store is counted, a line `CALL DOCUMENTS` each, in the file that `READS` names."""

    def counted(call: str) -> Callable[..., Any]:
        asked = getattr(SqliteStore, call)

        async def ask(self: SqliteStore, *arguments: Any, **options: Any) -> Any:
            found = await asked(self, *arguments, **options)
            documents = arguments[1] if call == "cursors_of" else found  # a cursor that does not exist costs a read, too
            with Path(os.environ["READS"]).open("a") as file:  # noqa: ASYNC230 - a line, in a test
                file.write(f"{call} {len(documents) if isinstance(documents, (list, dict)) else 1}\n")
            return found

        return ask

    for call in ("memberships_of", "heads", "cursors_of", "read_messages", "read_conversation", "read_cursors"):
        replace(SqliteStore, call, counted(call))


def no_rosters() -> None:
    """Nothing that Redis remembers of a user's conversations is believed."""
    replace(Rosters, "_may_believe", lambda _: False)


def no_list_signatures() -> None:
    """Every list in Redis is believed, also a forged one."""
    replace(ListForm, "_verify", lambda *_: None)


def slow_activation() -> None:
    """When a conversation becomes local, time passes before and after it is read how far it is."""
    read_heads = Delivery._read_heads

    async def _read_heads(self: Delivery, known: Mapping[ConversationId, Seq], proof: str) -> dict[ConversationId, Seq]:
        await asyncio.sleep(_WINDOW_SECONDS)
        heads = await read_heads(self, known, proof)
        await asyncio.sleep(_WINDOW_SECONDS)
        return heads

    replace(Delivery, "_read_heads", _read_heads)


def no_dedupe() -> None:
    """A send that is repeated is another send."""
    replace(commands, "send_key", lambda sender, _: send_key(sender, secrets.token_hex(8)))


def no_sweep() -> None:
    """No instance looks for commits that were not published."""
    replace(unfinished_commits.UnfinishedCommits, "_finish", _nothing)


def no_bulletins() -> None:
    """What the others say in their bulletins is not heard."""

    async def _read(self: Bulletins, *, only_unwell: bool) -> None:
        self._read_at = self._unwell_read_at = self._clock.monotonic()  # else its loop would never wait again

    replace(Bulletins, "_read", _read)


def no_heads() -> None:
    """Messages in bulletins of others are ignored; members and receipts in them are not."""
    with_bulletins = Resync.with_bulletins

    async def _without_heads(self: Resync, bulletins: list[Bulletin]) -> None:
        await with_bulletins(self, [dataclasses.replace(bulletin, heads={}) for bulletin in bulletins])

    replace(Resync, "with_bulletins", _without_heads)


def no_window() -> None:
    """Changes are published, and no bulletin tells of them."""
    for note in ("note_head", "note_members", "note_receipt"):
        replace(Window, note, lambda *_: None)


def no_publication() -> None:
    """Messages are noted in the window of the bulletin, and not published."""
    head = Announcer.head

    def _unpublished(self: Announcer, conversation_id: ConversationId, seq: Seq, _: Sequence[PublishedCommit]) -> None:
        head(self, conversation_id, seq, [])

    replace(Announcer, "head", _unpublished)


def no_resync() -> None:
    """After a resubscription nothing is compared."""
    replace(node.Node, "_on_missed", lambda _self, _reason: None)


def no_peers() -> None:
    """Whether the others are heard is not asked."""
    replace(Peers, "look", lambda *_, **__: False)


def no_watchdog() -> None:
    """A bus that was subscribed once is believed for ever."""

    async def _round(self: RedisBus) -> None:
        await asyncio.Event().wait()

    replace(RedisBus, "_round", _round)
    replace(RedisBus, "is_live", property(lambda _: True))


def no_server_in_world() -> None:
    """The world is a random id that a promoted replica, and a server with its snapshot, hold as well."""
    _replace_in_scripts("return server and string.sub(world, -40) ~= server", "return false")


def no_world_check() -> None:
    """An instance that has its lease goes on in the world that it knows, whatever world the others are in."""
    _replace_in_scripts("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'WORLD'} end", "")


def _replace_in_scripts(text: str, by: str) -> None:
    """In each script that has it."""
    known = {name: each for name, each in vars(scripts).items() if isinstance(each, Script)}
    having = {name: each.source for name, each in known.items() if text in each.source}
    assert having, "no script has that text"
    for name, source in having.items():
        replace(scripts, name, Script(source.replace(text, by)))


def no_second_witness() -> None:
    """An instance without a lease is dead: no beat is looked at."""

    def is_dead(_: Deaths, bulletin: Bulletin, leases: Leases | None) -> bool:
        return leases is not None and bulletin.epoch not in leases.living

    replace(Deaths, "is_dead", is_dead)


def no_death_without_redis() -> None:
    """While Redis does not answer, no instance is declared dead."""
    judge = Deaths.is_dead

    def is_dead(self: Deaths, bulletin: Bulletin, leases: Leases | None) -> bool:
        return leases is not None and judge(self, bulletin, leases)

    replace(Deaths, "is_dead", is_dead)


def adds_after_death() -> None:
    """A run that knows that it was declared dead goes on adding users to its presence."""
    replace(Presence, "_still_wanted", lambda self: self._wanted)


def one_turn() -> None:
    """Only the instance whose turn is the first completes a death."""

    def turn_seconds(own: RunId, others: Iterable[RunId], dead: RunId) -> float:
        return turns.turn_seconds(own, others, dead) and math.inf

    replace(reaper, "turn_seconds", turn_seconds)


def no_restore_by_beat() -> None:
    """What an instance finds of its own bulletin tells it nothing of a restore."""
    replace(OwnBulletin, "_note_restored", lambda _: None)


def no_reaper() -> None:
    """No instance looks for instances that are gone."""
    replace(Reaper, "look", _nothing)


def no_members_version() -> None:
    """A membership that was read once is believed for ever."""

    def cached(self: cache.Conversations, conversation_id: ConversationId) -> Conversation | None:
        return self.peek(conversation_id)

    replace(cache.Conversations, "cached", cached)
    replace(Resync, "_refresh_members", _nothing)


def no_catch_up() -> None:
    """Messages between a user's last sign of life and the offline state are not looked through."""
    replace(OfflineBackfill, "_catch_up", _nothing)


def no_hints() -> None:
    """An instance that ends before it has written how far the conversations are: it never writes that."""

    def tick(_: Activity) -> None:
        return

    replace(Activity, "tick", tick)


def no_joined_seq() -> None:
    """Delivery to a newcomer starts at the head of the moment at which the instance gets to it."""
    try_to_join = Entering._try_to_join

    def _try_to_join(self: Entering, entrance: Entrance) -> bool:
        local = self._delivery.locals.get(entrance.conversation.conversation_id)
        if local is not None and local.starting is None:
            entrance.start = entrance.position = local.shown
        return try_to_join(self, entrance)

    replace(Entering, "_try_to_join", _try_to_join)


def read_before_subscribe() -> None:
    """How far a conversation is gets read first, then it is subscribed."""

    async def _start(self: Delivery, fresh: list[LocalConversation], hints: Mapping[ConversationId, Seq], proof: str) -> None:
        heads = await self._read_heads(hints, proof)
        await self._bus.subscribe([conversation_channel(local.conversation_id) for local in fresh])
        for local in fresh:
            local.starting = None
            self._show(local, local.sequencer.start(heads[local.conversation_id], self._clock.monotonic()))

    replace(Delivery, "_start", _start)


def no_predecessor() -> None:
    """A message is stored at whatever seq its instance believes to be next."""

    def _require_predecessor(*_: object) -> None:
        return

    replace(messages, "_require_predecessor", _require_predecessor)


ALTERATIONS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        die_undecided,
        die_after_change,
        no_marks,
        no_stored_marks,
        marks_go_at_once,
        count_reads,
        no_rosters,
        no_list_signatures,
        slow_activation,
        no_dedupe,
        no_sweep,
        no_predecessor,
        one_mark,
        stale_marks,
        mark_ends_with_publication,
        no_bulletins,
        no_heads,
        no_window,
        no_publication,
        no_resync,
        no_peers,
        no_watchdog,
        no_server_in_world,
        no_world_check,
        no_second_witness,
        no_death_without_redis,
        adds_after_death,
        one_turn,
        no_restore_by_beat,
        no_reaper,
        no_members_version,
        no_catch_up,
        no_hints,
        read_before_subscribe,
        no_joined_seq,
    )
}


if __name__ == "__main__":
    for name in filter(None, os.environ["ALTERED"].split(",")):
        ALTERATIONS[name]()
    cli.main()
