"""The Python client without one of its mechanisms each: what a scenario must notice."""

from typing import Any

import msgspec
import pytest

from holdfast.client import backoff, greeting, outbox
from holdfast.client.client import Client
from holdfast.client.holes import Holes
from holdfast.client.link import Link
from holdfast.client.streams import Streams


def _shows_known_messages(patch: pytest.MonkeyPatch) -> None:
    offer = Streams.offer

    def altered(self: Streams, frame: Any, *, has_room: bool) -> bool:
        return offer(self, frame, has_room=has_room) or frame.seq <= (self.cursors or {}).get(frame.conversation_id, 0)

    patch.setattr(Streams, "offer", altered)


def _fills_no_hole(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Holes, "look", lambda self: None)


def _repeats_no_send(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outbox.Outbox, "lost", lambda self, connection: None)


def _moves_the_cursor_by_the_ack(patch: pytest.MonkeyPatch) -> None:
    received = Client.received

    def altered(self: Client, frame: Any, connection: Any) -> None:
        received(self, frame, connection)
        if type(frame).__name__ == "Ack" and self._inbox.streams.cursors is not None:
            self._inbox.streams.cursors[frame.conversation_id] = frame.seq

    patch.setattr(Client, "received", altered)


def _breaks_before_make(patch: pytest.MonkeyPatch) -> None:
    async def altered(self: Link, old: Any, after_seconds: float) -> None:
        old.abort()

    patch.setattr(Link, "_hand_over", altered)


def _reconnects_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backoff, "pause", lambda attempt, at_least=0.0: 0.0)


def _comes_back_after_a_final_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backoff, "is_final", lambda code: False)


def _forgets_removals(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Streams, "_leave", lambda self, conversation_id, revision: None)


def _compares_no_generation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(greeting.Greeting, "resets", lambda self, welcome, synced: [])


def _limits_no_unanswered_sends(patch: pytest.MonkeyPatch) -> None:
    due = outbox.Outbox.due

    def altered(self: outbox.Outbox, connection: object, now: float, limits: Any, wall: float) -> Any:
        return due(self, connection, now, msgspec.structs.replace(limits, inflight_sends=1_000), wall)

    patch.setattr(outbox.Outbox, "due", altered)


MUTANTS = [
    (_shows_known_messages, "cursor_that_found_no_place_loses_nothing"),
    (_fills_no_hole, "page_that_is_html"),
    (_repeats_no_send, "ack_is_lost"),
    (_moves_the_cursor_by_the_ack, "ack_comes_before_earlier_messages"),
    (_breaks_before_make, "conversation_created_during_a_hand_over"),
    (_reconnects_at_once, "instances_that_end_at_once"),
    (_comes_back_after_a_final_end, "closed_for_good_with_4502"),
    (_forgets_removals, "removed_during_a_hand_over"),
    (_limits_no_unanswered_sends, "more_sends_than_may_be_unanswered"),
    (_compares_no_generation, "cursor_of_another_store_that_found_no_place"),
]
"""Each with the scenario that fails then."""
