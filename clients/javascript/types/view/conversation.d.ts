export class Conversation {
    /**
     * @param {string} id
     * @param {{ readonly kept: number, invalidate(): void }} list that it is in; `kept`: messages while it is loaded
     */
    constructor(id: string, list: {
        readonly kept: number;
        invalidate(): void;
    });
    isKnown: boolean;
    wantsMembers: boolean;
    isLoaded: boolean;
    isLoading: boolean;
    /** How often the store was restored under it: a page that was asked for before does not belong to it any more. */
    resets: number;
    /** A summary of this revision, or a later one, is there to be fetched. */
    wantedRevision: number;
    revision: number;
    activeAt: number;
    lastSeq: number;
    /** @type {Message | null} */
    last: Message | null;
    /** @type {string | null} */
    title: string | null;
    /** @type {readonly string[]} */
    members: readonly string[];
    memberCount: number;
    indicators: boolean;
    id: string;
    list: {
        readonly kept: number;
        invalidate(): void;
    };
    /** The same object until something changes. @param {string} userId @returns {ConversationView} */
    view(userId: string): ConversationView;
    /** @param {"messages" | "typing" | "reads"} [part] that is made anew, too */
    changed(part?: "messages" | "typing" | "reads"): void;
    /** @param {string} userId */
    readSeq(userId: string): number;
    get firstSeq(): number;
    /** @returns {Message | undefined} */
    get newest(): Message | undefined;
    get hasOlder(): boolean;
    get size(): number;
    /** The last message is not known. */
    get isBehind(): boolean;
    /** Something is to be fetched again. */
    get isStale(): boolean;
    /**
     * A summary, or the whole conversation. An older revision than ours brings nothing but reads.
     *
     * @param {Summary} summary
     * @param {string} userId
     */
    learn(summary: Summary, userId: string): void;
    /** A message that is not older than what is held. @param {Message} message */
    add(message: Message): void;
    /**
     * A page of history: one that ends with the newest message, or before the first one that is held.
     *
     * @param {import("../rest.js").History} page
     */
    addPage({ messages, has_more }: import("../rest.js").History): void;
    /** A message of the user's own, with its `ack`; it is not held where it would leave a gap for good. @param {Message} message */
    acknowledge(message: Message): void;
    /** For its line in the list. @param {Message} message */
    preview(message: Message): void;
    /** Forward only; the user's own messages that follow are read with it. @param {string} userId @param {number} seq */
    read(userId: string, seq: number): void;
    /** As the service has it: a `read` that was lost is to be sent again. @param {string} userId @param {number} seq */
    confirmRead(userId: string, seq: number): void;
    /**
     * @param {string} userId
     * @param {number} ms that it lasts; 0: no more
     * @param {() => void} over called when it has lasted
     */
    type(userId: string, ms: number, over: () => void): void;
    /** Typing notices of a connection that has ended are over. */
    forgetTyping(): void;
    /** Another conversation is shown: its tail is enough. */
    unload(): void;
    /** The store was restored, and ends there. @param {number} lastSeq */
    reset(lastSeq: number): void;
    #private;
}
export type Message = import("../frames.js").Message;
export type Summary = import("../rest.js").Conversation;
export type ConversationView = {
    id: string;
    title: string | null;
    /**
     * the first ten where not all are known
     */
    members: readonly string[];
    memberCount: number;
    /**
     * receipts, typing and presence are shown
     */
    indicators: boolean;
    /**
     * the body may be cut to 200 characters; null where it is not known, or there is none
     */
    lastMessage: Message | null;
    /**
     * 0: no message
     */
    lastSeq: number;
    /**
     * up to which the user has read
     */
    readSeq: number;
    unread: number;
    /**
     * of the last message, or of the creation: milliseconds since 1970
     */
    activeAt: number;
    /**
     * the other users who type
     */
    typing: readonly string[];
    /**
     * user -> seq up to which that user has read, as far as it is known
     */
    reads: Readonly<Record<string, number>>;
    /**
     * ascending
     */
    messages: readonly Message[];
    /**
     * `messages` has the newest ones; else `load` fetches them
     */
    isLoaded: boolean;
    isLoading: boolean;
    /**
     * there are messages before the first one of `messages`, for `loadOlder`
     */
    hasOlder: boolean;
};
