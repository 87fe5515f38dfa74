/** @typedef {import("./events.js").ClientEvent} ClientEvent */
/** @typedef {import("./events.js").State} State */
/** @typedef {import("./frames.js").Ack} Ack */
/** @typedef {import("./frames.js").Message} Message */
/** @typedef {import("./frames.js").Ok} Ok */
/**
 * @typedef {object} Options
 * @property {string[]} urls addresses of the service (`https://chat.example.com`); with several, each attempt takes the next
 * @property {import("./tokens.js").Token} token
 * @property {Record<string, number> | null} [cursors] where to go on, in place of what `store` has: `{}` replays everything, null
 *   starts with what is new
 * @property {string} [generation] of the store that `cursors` are of, where it is known
 * @property {import("./store.js").Store} [store] keeps the position and sends; by default in memory
 * @property {string} [name] shows in the service's log, up to 64 characters
 */
/**
 * A send that is not stored. `waiting`: it is sent as soon as possible, and again until it is answered.
 *
 * @typedef {object} Unsent
 * @property {string} id for `retry` and `discard`
 * @property {string} conversationId
 * @property {string} clientMessageId
 * @property {string} body
 * @property {Record<string, unknown> | null} metadata
 * @property {"waiting" | "failed"} state
 * @property {import("./errors.js").SendFailed | null} error why it failed
 */
/** One user's connection to Holdfast: every message shown once and in order, whatever happens to the instances behind it. */
export class Client {
    /**
     * Connects to nothing yet. Throws TypeError for options that no instance would ever accept.
     *
     * @param {Options} options
     */
    constructor({ urls, token, cursors, generation, store, name }: Options);
    /** Calls of REST, with the token of the client. */
    rest: import("./rest.js").Rest;
    /** Sends that are not stored. */
    outbox: UnsentMessages;
    /** Connect, and stay connected. Idempotent. */
    start(): this;
    /** Leave; a call that still waits for an answer fails. Idempotent. */
    close(): Promise<void>;
    /** @returns {State} */
    get state(): State;
    /** Conversation -> seq of the last message that the application has done with: to be kept together with the messages. */
    get cursors(): {
        [k: string]: number;
    };
    /** Of the store that `cursors` are of: to be kept with them. */
    get generation(): string;
    /** The instance at the other end; empty while there is none. */
    get instanceId(): string;
    /** Wait until there is a connection and what was missed is replayed. Throws ClientStopped: there will be none. */
    connected(): Promise<void>;
    /** Do not wait for `retryAt`: try now. */
    retryNow(): void;
    /**
     * Every message of the user's conversations, once and in order, their own included; ends when the client is closed. The application
     * has done with a message when it asks for the next one: where the loop is left before, the next loop begins with this message. A
     * new loop ends the one before it. Throws ClientStopped: the service told this client not to come back.
     *
     * @returns {AsyncIterableIterator<Message, void, void>}
     */
    messages(): AsyncIterableIterator<Message, void, void>;
    /**
     * Be told of events of one type, or of all (`*`). Returns a function that ends it.
     *
     * @template {ClientEvent["type"] | "*"} T
     * @param {T} type
     * @param {(event: T extends "*" ? ClientEvent : Extract<ClientEvent, { type: T }>) => void} listener
     * @returns {() => void}
     */
    on<T extends ClientEvent["type"] | "*">(type: T, listener: (event: T extends "*" ? ClientEvent : Extract<ClientEvent, {
        type: T;
    }>) => void): () => void;
    /**
     * Send a message; resolved when it is stored, however many connections that takes. Throws SendFailed: it cannot succeed, was
     * refused for good, or was not stored within a day; or ClientStopped. Of a send that was queued, it need not be awaited: the
     * failure is in `outbox`. It counts as reading up to `readSeq`, by default the last message of the conversation that was taken.
     *
     * @param {string} conversationId
     * @param {string} body
     * @param {{ metadata?: Record<string, unknown> | null, clientMessageId?: string, readSeq?: number }} [more]
     * @returns {Promise<Ack>}
     */
    send(conversationId: string, body: string, { metadata, clientMessageId, readSeq }?: {
        metadata?: Record<string, unknown> | null;
        clientMessageId?: string;
        readSeq?: number;
    }): Promise<Ack>;
    /**
     * Everything up to this message is read; returns the cursor as committed. Throws SendFailed: it was refused, or the connection
     * ended first; reading a later message covers this one.
     *
     * @param {string} conversationId
     * @param {string} messageId
     * @returns {Promise<Ok>}
     */
    read(conversationId: string, messageId: string): Promise<Ok>;
    /**
     * Show others that the user types; to be repeated every 3 s. Nothing happens without a connection. Throws SendFailed.
     *
     * @param {string} conversationId
     * @param {boolean} [active]
     */
    typing(conversationId: string, active?: boolean): void;
    #private;
}
export type ClientEvent = import("./events.js").ClientEvent;
export type State = import("./events.js").State;
export type Ack = import("./frames.js").Ack;
export type Message = import("./frames.js").Message;
export type Ok = import("./frames.js").Ok;
export type Options = {
    /**
     * addresses of the service (`https://chat.example.com`); with several, each attempt takes the next
     */
    urls: string[];
    token: import("./tokens.js").Token;
    /**
     * where to go on, in place of what `store` has: `{}` replays everything, null
     * starts with what is new
     */
    cursors?: Record<string, number> | null | undefined;
    /**
     * of the store that `cursors` are of, where it is known
     */
    generation?: string | undefined;
    /**
     * keeps the position and sends; by default in memory
     */
    store?: import("./store.js").Store | undefined;
    /**
     * shows in the service's log, up to 64 characters
     */
    name?: string | undefined;
};
/**
 * A send that is not stored. `waiting`: it is sent as soon as possible, and again until it is answered.
 */
export type Unsent = {
    /**
     * for `retry` and `discard`
     */
    id: string;
    conversationId: string;
    clientMessageId: string;
    body: string;
    metadata: Record<string, unknown> | null;
    state: "waiting" | "failed";
    /**
     * why it failed
     */
    error: import("./errors.js").SendFailed | null;
};
/** Sends that are not stored: those that wait, and the last 1,000 that failed. The event `outbox` tells of changes. */
declare class UnsentMessages {
    /** @param {Engine} engine */
    constructor(engine: Engine);
    /** @returns {Unsent[]} */
    get entries(): Unsent[];
    /**
     * Send one that failed once more, under the same `clientMessageId`: it is stored once, whatever became of the first attempt.
     * Throws SendFailed (`expired`) six days after the first attempt: the service might store it twice.
     *
     * @param {string} id
     * @returns {Promise<Ack>}
     */
    retry(id: string): Promise<Ack>;
    /** Do not send it, or not again; one that waits fails. It may be stored where it was sent before. @param {string} id */
    discard(id: string): void;
    #private;
}
import { Engine } from "./engine.js";
export {};
