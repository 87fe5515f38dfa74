/** @typedef {import("./conversation.js").ConversationView} ConversationView */
/** @typedef {import("../rest.js").Conversation} Summary */
export class Conversations {
    /**
     * @param {number} kept messages of one conversation
     * @param {number} loaded conversations whose messages are held at a time
     */
    constructor(kept: number, loaded: number);
    /** Whose view it is: known with the first connection. */
    userId: string;
    kept: number;
    loaded: number;
    /** Latest activity first, those whose summary has not come yet left out. */
    list(): readonly import("./conversation.js").ConversationView[];
    /** @param {string} id */
    view(id: string): import("./conversation.js").ConversationView | undefined;
    /** In no order. @returns {Conversation[]} */
    get known(): Conversation[];
    get all(): Conversation[];
    /** @param {string} id */
    find(id: string): Conversation | undefined;
    /** Found or begun; it is about to change. @param {string} id */
    touch(id: string): Conversation;
    /** One of them has changed. */
    invalidate(): void;
    /** @param {Summary} summary */
    learn(summary: Summary): Conversation;
    /** @param {string} id */
    delete(id: string): void;
    /** The last one to be loaded, as `touch`: where too many are, the first one keeps its tail only. @param {string} id */
    setLoaded(id: string): Conversation;
    #private;
}
export type ConversationView = import("./conversation.js").ConversationView;
export type Summary = import("../rest.js").Conversation;
import { Conversation } from "./conversation.js";
