/** A connection was not accepted. */
export class Refused extends Error {
    /**
     * @param {string} code the service's, or `unreachable`
     * @param {string} detail
     * @param {{ isFinal?: boolean, retryAfterMs?: number }} [more] `isFinal`: asking again would be answered in the same way
     */
    constructor(code: string, detail: string, { isFinal, retryAfterMs }?: {
        isFinal?: boolean;
        retryAfterMs?: number;
    });
    code: string;
    detail: string;
    isFinal: boolean;
    isToken: boolean;
    retryAfterMs: number;
}
/**
 * Is told of a connection, in this order. All calls come from events of the socket, none of them inside `open`.
 *
 * @typedef {object} Listener
 * @property {(connection: Connection) => void} accepted it has greeted
 * @property {(frame: ServerFrame, connection: Connection) => void} received
 * @property {(connection: Connection) => void} closed
 */
/** An accepted socket. It ends with `close`, `abort` or by itself. */
export class Connection {
    /**
     * Connect and wait for `welcome`. Throws Refused.
     *
     * @param {string} url
     * @param {string} token
     * @param {Listener} listener
     * @param {AbortSignal} signal
     * @returns {Promise<Connection>}
     */
    static open(url: string, token: string, listener: Listener, signal: AbortSignal): Promise<Connection>;
    /**
     * @param {WebSocket} socket
     * @param {Welcome} welcome
     * @param {Listener} listener
     */
    constructor(socket: WebSocket, welcome: Welcome, listener: Listener);
    /** 0 while it is open, then why it ended. */
    code: number;
    /** @type {ErrorFrame | null} the last error that the service named without a command of ours: it comes before it closes */
    reason: ErrorFrame | null;
    /** @type {import("./greeting.js").Greeting | null} our `hello` on it */
    greeting: import("./greeting.js").Greeting | null;
    isDraining: boolean;
    isRefreshing: boolean;
    isSynced: boolean;
    /** Sends go out by it. */
    tookOver: import("./waiting.js").Deferred<void>;
    welcome: import("./frames.js").Welcome;
    /** Replay is over. */
    get synced(): Promise<void>;
    get ended(): Promise<void>;
    get isEnded(): boolean;
    /** Write one frame; nothing happens when the socket has ended. @param {object} frame */
    send(frame: object): void;
    /** Write one frame that is encoded already. @param {string} text */
    write(text: string): void;
    /** Note that replay is over: the owner has looked at the frame. */
    setSynced(): void;
    /** End it politely, within 2 s. */
    close(): Promise<void>;
    /** End it now: what still comes is not listened to. */
    abort(): void;
    #private;
}
export type ServerFrame = import("./frames.js").ServerFrame;
export type ErrorFrame = import("./frames.js").ErrorFrame;
export type Welcome = import("./frames.js").Welcome;
/**
 * Is told of a connection, in this order. All calls come from events of the socket, none of them inside `open`.
 */
export type Listener = {
    /**
     * it has greeted
     */
    accepted: (connection: Connection) => void;
    received: (frame: ServerFrame, connection: Connection) => void;
    closed: (connection: Connection) => void;
};
