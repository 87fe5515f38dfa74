export class Streams {
    /**
     * @param {Map<string, number> | null} cursors conversation -> seq of the last message shown; null until the first `synced` of a
     *   client that starts with what is new
     * @param {string} generation of the store that the cursors are of; "" while it is not known
     */
    constructor(cursors: Map<string, number> | null, generation: string);
    /** @type {Map<string, number>} conversation -> seq up to which it has to be fetched, because what lies between did not come */
    wanted: Map<string, number>;
    cursors: Map<string, number> | null;
    generation: string;
    /** A `hello` is about to be said with the cursors as they are; returns its number, from 1. */
    greet(): number;
    /** @param {string} id */
    cursor(id: string): number;
    /**
     * Whether to show a message now. `hasRoom`: false when its reader is behind; then it is fetched again later.
     *
     * @param {{ conversation_id: string, seq: number }} frame
     * @param {boolean} hasRoom
     */
    offer({ conversation_id: id, seq }: {
        conversation_id: string;
        seq: number;
    }, hasRoom: boolean): boolean;
    /**
     * The messages between the cursor and `toSeq` have to be fetched; without a cursor, from `fromSeq` on.
     *
     * @param {string} id
     * @param {number} fromSeq
     * @param {number} toSeq
     */
    truncated(id: string, fromSeq: number, toSeq: number): void;
    /** Nothing more of this conversation can be fetched: it is not ours any more. @param {string} id */
    giveUp(id: string): void;
    /** Another one once the user is known to have been added again: an answer about the earlier one is void. @param {string} id */
    membership(id: string): string;
    /** The store ends where the cursor is: nothing is to be fetched there. @param {string} id */
    exhausted(id: string): void;
    /**
     * The store ends earlier than our cursor: go on from its end.
     *
     * @param {string} id
     * @param {number} lastSeq
     */
    reset(id: string, lastSeq: number): void;
    /**
     * Replay is over: a conversation without a cursor starts at its head; one that is not listed is not ours any more.
     *
     * @param {Synced} frame
     * @param {number} hello the number of the `hello` that it answers: conversations that began later cannot be listed
     * @param {string[]} leftOut conversations whose cursors were not in that `hello`: one beyond the head is compared with the store
     */
    synced(frame: Synced, hello: number, leftOut: string[]): void;
    /**
     * A conversation begins, or ends, for this user. Live starts after the `last_seq` that the notice names.
     *
     * @param {ConversationNotice} frame
     * @param {string} userId
     */
    changed({ conversation_id: id, revision, event, user_id, conversation }: ConversationNotice, userId: string): void;
    #private;
}
export type Synced = import("./frames.js").Synced;
export type ConversationNotice = import("./frames.js").ConversationNotice;
