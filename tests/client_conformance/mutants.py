"""The JavaScript client without one of its mechanisms each: what a scenario must notice."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` becomes `new` in a copy of `file`, wherever it stands; `scenario` fails then."""

    name: str
    file: str
    old: str
    new: str
    scenario: str

    def source(self, sources: Path, copy: Path) -> Path:
        """The altered client's entry, made of `sources` in the empty directory `copy`."""
        shutil.copytree(sources, copy, dirs_exist_ok=True)
        text = (copy / self.file).read_text(encoding="utf-8")
        assert self.old in text, f"{self.name}: {self.file} does not say {self.old!r} any more"
        (copy / self.file).write_text(text.replace(self.old, self.new), encoding="utf-8")
        return copy / "index.js"


_CREATED = "conversation_created_during_a_hand_over"

MUTANTS = [
    Mutant(
        "shows_known_messages",
        "streams.js",
        "if (seq <= cursor) return false;",
        "",
        "cursor_that_found_no_place_loses_nothing",
    ),
    Mutant("shows_behind_a_gap", "streams.js", "seq > cursor + 1 || !hasRoom", "!hasRoom", "page_without_progress"),
    Mutant("fills_no_hole", "holes.js", "await this.#tryToFill(id)", "return", "page_that_is_html"),
    Mutant("asks_for_pages_without_a_pause", "holes.js", "now() + pause(failures)", "0", "page_without_progress"),
    Mutant(
        "believes_any_404",
        "rest.js",
        'error.code === "conversation_not_found"',
        "error.status === 404",
        "proxy_answers_404_to_a_page",
    ),
    Mutant("takes_pages_of_others", "rest.js", "each.conversation_id !== id", "false", "page_of_another_conversation"),
    Mutant(
        "repeats_no_send",
        "outbox.js",
        "for (const lane of this.#inFlight(connection)) lane.connection = null;",
        "",
        "ack_is_lost",
    ),
    Mutant(
        "sends_the_newest_first", "outbox.js", "lane.queue.push(pending)", "lane.queue.unshift(pending)", "one_send_at_a_time"
    ),
    Mutant("repeats_what_closed_the_socket", "engine.js", "if (isOurMistake(code))", "if (false)", "closed_with_1009"),
    Mutant(
        "fails_for_an_early_send",
        "outbox.js",
        'error.code === "invalid_state"',
        "false",
        "send_refused_because_hello_was_not_accepted",
    ),
    Mutant(
        "moves_the_cursor_by_the_ack",
        "engine.js",
        "this.outbox.acknowledged(frame);",
        "this.outbox.acknowledged(frame), this.inbox.streams.cursors?.set(frame.conversation_id, frame.seq);",
        "ack_comes_before_earlier_messages",
    ),
    Mutant("checks_no_size", "checks.js", "draft.bodyBytes > limits.body_bytes", "false", "body_over_the_frame"),
    Mutant("checks_no_number", "checks.js", "!Number.isFinite(value)", "false", "metadata_with_not_a_number"),
    Mutant("checks_no_surrogate", "checks.js", "!/\\p{Cs}/u.test(text)", "true", "body_with_a_lone_surrogate"),
    Mutant(
        "says_nothing_read",
        "checks.js",
        "read_seq: readSeq",
        "read_seq: 0",
        "message_written_offline_names_what_was_read_before",
    ),
    Mutant("breaks_before_make", "link.js", "const successor = await this.#openSuccessor();", "old.abort(); return;", _CREATED),
    Mutant("forgets_new_conversations", "streams.js", "(this.#begun.get(id) ?? 0) < hello", "true", _CREATED),
    Mutant("forgets_removals", "streams.js", "this.#leave(id, revision);", "", "removed_during_a_hand_over"),
    Mutant(
        "believes_late_removals",
        "streams.js",
        "if (revision <= (this.#revisions.get(id) ?? 0)) return;",
        "",
        "removed_and_added_again_during_a_hand_over",
    ),
    Mutant("says_all_cursors", "greeting.js", ".slice(0, limits.cursors)", "", "more_cursors_than_the_limit"),
    Mutant("says_cursors_beyond_the_frame", "greeting.js", "room < 0", "false", "cursors_too_large_for_a_frame"),
    Mutant(
        "says_no_generation",
        "greeting.js",
        "...(generation && { generation })",
        "",
        "generation_of_the_store_is_said_with_the_cursors",
    ),
    Mutant("compares_no_generation", "greeting.js", "said === generation", "true", "cursor_of_another_store_that_found_no_place"),
    Mutant(
        "checks_no_cursor_left_out",
        "streams.js",
        "(heads.get(id) ?? cursor) < cursor",
        "false",
        "cursor_that_found_no_place_lies_beyond_the_end",
    ),
    Mutant("reconnects_at_once", "backoff.js", "Math.random() * Math.min", "0 * Math.min", "instances_that_end_at_once"),
    Mutant("comes_back_after_a_final_end", "backoff.js", "(code >= 4500 && code <= 4999)", "false", "closed_for_good_with_4502"),
    Mutant("asks_again_with_a_static_token", "link.js", "this.tokens.isStatic || ", "", "static_token_is_refused_in_a_frame"),
    Mutant(
        "stops_for_one_refused_token", "link.js", "refused >= TOKENS_REFUSED", "true", "token_of_a_hook_is_refused_in_a_frame"
    ),
    Mutant(
        "says_what_the_token_function_threw",
        "tokens.js",
        "error instanceof Error ? error.constructor.name : typeof error",
        "error",
        "hook_that_fails_with_a_token_in_its_error",
    ),
]
