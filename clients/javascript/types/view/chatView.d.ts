/** One window's state above a client, which belongs to the view from now on: it takes the client's messages. */
export class ChatView {
    /**
     * Before `client.start()`. Throws TypeError: the client was started.
     *
     * @param {Client} client
     * @param {ViewOptions} [options]
     */
    constructor(client: Client, { messagesKept, conversationsLoaded }?: ViewOptions);
    /** Start the client, and take its messages. Idempotent. */
    start(): this;
    /** End the view and its client. Idempotent. */
    close(): Promise<void>;
    /**
     * Be told when a snapshot is new: once, however many are. Returns a function that ends it. May be passed on without its view.
     *
     * @param {() => void} listener
     * @returns {() => void}
     */
    subscribe: (listener: () => void) => () => void;
    connection(): import("./connection.js").ConnectionView;
    /** Latest activity first. */
    conversations(): readonly import("./conversation.js").ConversationView[];
    /** undefined where the user is in no such conversation, or it is not known yet. @param {string} id */
    conversation(id: string): import("./conversation.js").ConversationView | undefined;
    /** Sends that are not stored, of one conversation or of all. @param {string} [conversationId] */
    outbox(conversationId?: string): readonly Readonly<import("../client.js").Unsent & {
        queuedAt: Date;
    }>[];
    /** undefined where the service has not told of that user. @param {string} userId */
    presence(userId: string): import("./presence.js").PresenceView | undefined;
    /**
     * As the client's; the message is in its conversation when the promise is resolved. It need not be awaited. What the user had not
     * read yet stays unread.
     *
     * @param {string} conversationId
     * @param {string} body
     * @param {{ metadata?: Record<string, unknown> | null, clientMessageId?: string, readSeq?: number }} [more]
     * @returns {Promise<Ack>}
     */
    send(conversationId: string, body: string, more?: {
        metadata?: Record<string, unknown> | null;
        clientMessageId?: string;
        readSeq?: number;
    }): Promise<Ack>;
    /** Send one that failed once more; as the client's. @param {string} id @returns {Promise<Ack>} */
    retry(id: string): Promise<Ack>;
    /** Give up a send; as the client's. @param {string} id */
    discard(id: string): void;
    /** All messages that are held are read: to be called while the user sees the last one. @param {string} id */
    read(id: string): void;
    /** Show others that the user types; to be repeated every 3 s. Throws SendFailed. @param {string} id @param {boolean} [active] */
    typing(id: string, active?: boolean): void;
    /**
     * Fetch the newest messages, the members and their read cursors: to be called when a conversation is shown. Throws RestFailed.
     *
     * @param {string} id
     * @returns {Promise<void>}
     */
    load(id: string): Promise<void>;
    /** Fetch 50 messages before the first one that is held, if there are any. Throws RestFailed. @param {string} id */
    loadOlder(id: string): Promise<void>;
    /** The conversation of the user and that one alone; its id. Throws RestFailed. @param {string} userId */
    direct(userId: string): Promise<string>;
    /**
     * A conversation with these users; its id. Throws RestFailed.
     *
     * @param {string[]} members
     * @param {{ title?: string, metadata?: Record<string, unknown>, conversationId?: string }} [more]
     */
    create(members: string[], { conversationId, ...more }?: {
        title?: string;
        metadata?: Record<string, unknown>;
        conversationId?: string;
    }): Promise<string>;
    #private;
}
export type Client = import("../client.js").Client;
export type ClientEvent = import("../events.js").ClientEvent;
export type Ack = import("../frames.js").Ack;
export type Message = import("../frames.js").Message;
export type ConversationNotice = import("../frames.js").ConversationNotice;
export type Synced = import("../frames.js").Synced;
export type Summary = import("../rest.js").Conversation;
export type Conversation = import("./conversation.js").Conversation;
export type ViewOptions = {
    /**
     * of a conversation that is loaded, 1,000; `loadOlder` adds to them, up to ten times as many
     */
    messagesKept?: number | undefined;
    /**
     * at a time, 20: of others the last 50 messages are held
     */
    conversationsLoaded?: number | undefined;
};
