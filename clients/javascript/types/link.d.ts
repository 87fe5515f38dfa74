export class Link {
    /**
     * @param {unknown} urls
     * @param {import("./tokens.js").Tokens} tokens
     * @param {Owner} owner
     * @param {AbortSignal} signal
     */
    constructor(urls: unknown, tokens: import("./tokens.js").Tokens, owner: Owner, signal: AbortSignal);
    /** @type {Connection | null} the connection that sends go to */
    current: Connection | null;
    bases: string[];
    /** Where the last connection was accepted, for REST. */
    baseUrl: string;
    /** Whose the last connection is; "" before the first. */
    userId: string;
    tokens: import("./tokens.js").Tokens;
    owner: Owner;
    signal: AbortSignal;
    /** Connect, and connect again, until the signal. Throws ClientStopped where the service told us not to come back. */
    run(): Promise<void>;
    /** Do not wait any longer before the next attempt. */
    hurry(): void;
    /** Leave politely, within 2 s. */
    close(): Promise<void>;
    /** Whether another connection took over, or is replayed and about to. @param {Connection} connection */
    hasOther(connection: Connection): boolean;
    #private;
}
export type ServerFrame = import("./frames.js").ServerFrame;
export type ErrorFrame = import("./frames.js").ErrorFrame;
/**
 * The user of the link.
 */
export type Owner = {
    /**
     * the first frame on a new connection, as it is now
     */
    hello: (connection: Connection) => import("./greeting.js").Greeting;
    /**
     * whether an error that names no command may be about a send
     */
    hasInFlight: (connection: Connection) => boolean;
    /**
     * a connection is asked for
     */
    opening: () => void;
    /**
     * a connection was accepted; its frames come from now on
     */
    opened: (connection: Connection) => void;
    /**
     * no connection is accepted now; it is tried again
     */
    refused: (code: string, detail: string) => void;
    /**
     * before the next attempt
     */
    waiting: (ms: number) => void;
    /**
     * sends go out by this connection from now on
     */
    tookOver: (connection: Connection) => void;
    received: (frame: ServerFrame, connection: Connection) => void;
    /**
     * whatever was in flight on it has no answer
     */
    closed: (connection: Connection) => void;
};
import { Connection } from "./connection.js";
