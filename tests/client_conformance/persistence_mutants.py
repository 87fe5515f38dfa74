"""The JavaScript client's persistence without one of its mechanisms each: what a story must notice."""

from typing import Final

from client_conformance.mutants import Mutant

PERSISTENCE_MUTANTS: Final = [
    Mutant(
        "writes_a_cursor_apart_from_its_message",
        "database.js",
        "work((name) => transaction.objectStore(name), names)",
        "work((name) => transaction.db.transaction([name], mode).objectStore(name), names)",
        "message_cannot_be_written",
    ),
    Mutant("leaves_sends_of_tabs_that_ended", "indexeddb.js", "if (left.length) return left;", "", "tab_is_closed_before_an_ack"),
    Mutant("takes_sends_of_living_tabs", "tabs.js", "!names.has(this.#nameOf(tab))", "true", "send_of_a_living_tab_is_its_own"),
    Mutant(
        "repeats_under_a_new_id",
        "engine.js",
        "draft.triedAt ??= draft.addedAt;",
        'draft.text = draft.text.replace(draft.clientMessageId, (draft.clientMessageId = "another"));',
        "reload_in_the_middle_of_a_send",
    ),
    Mutant(
        "holds_nothing_back_for_the_next_leader",
        "indexeddb.js",
        "this.#unwritten.moved(position, messages);",
        "if (this.isLeader) this.#unwritten.moved(position, messages);",
        "leader_ends_behind_another_tab",
    ),
    Mutant("has_one_database_for_all_users", "indexeddb.js", "`holdfast ${userId} ", "`holdfast ann ", "another_user_signs_in"),
    Mutant(
        "writes_again_after_sign_out",
        "database.js",
        "this.isGone = true; // another",
        "this.#opening = null; // another",
        "user_signs_out",
    ),
    Mutant("writes_over_what_it_could_not_read", "indexeddb.js", "this.#isUnread = true;", "", "database_opens_slowly"),
    Mutant(
        "leads_without_a_database",
        "indexeddb.js",
        "if (this.#database.isGone) this.#tabs.end();",
        "",
        "user_signs_in_again_beside_a_tab_that_was_left",
    ),
]
