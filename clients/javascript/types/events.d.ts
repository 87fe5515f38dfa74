/** What the application is told besides messages. */
/** @typedef {import("./frames.js").Told} Told */
/** Why there is no connection. @typedef {{ code: string, detail: string }} Reason */
/**
 * `waiting`: the next attempt is at `retryAt`. `stopped`: there will be no other; its reason has the code `closed` after `close()`.
 *
 * @typedef {{ name: "idle" | "connecting" | "syncing" | "open" } | { name: "waiting", retryAt: Date, reason: Reason }
 *   | { name: "stopped", reason: Reason }} State
 */
/**
 * The client's own, and frames of the service as docs/protocol.md has them. `welcome` and `synced` may be those of a connection that
 * is about to take over. `state`: it changed. `connected`: replay is over.
 * `disconnected`, `unreachable`: the client tries again by itself. `outbox`: a send waits, is stored or failed. `unsaved`: the store
 * failed to keep the position, messages or sends.
 *
 * @typedef {{ type: "state", state: State }
 *   | { type: "connected", instance_id: string, connection_id: string, resumed: boolean }
 *   | { type: "disconnected", code: number, error: string }
 *   | { type: "unreachable" } & Reason
 *   | { type: "outbox" }
 *   | { type: "unsaved", detail: string }
 *   | Told} ClientEvent
 */
/** Listeners by type; `*` hears all. */
export class Events {
    /**
     * @param {string} type
     * @param {(event: any) => void} listener
     * @returns {() => void} stops it
     */
    on(type: string, listener: (event: any) => void): () => void;
    /** An error of a listener is the application's: it is reported as an uncaught one, and the client goes on. @param {ClientEvent} event */
    tell(event: ClientEvent): void;
    #private;
}
export type Told = import("./frames.js").Told;
/**
 * Why there is no connection.
 */
export type Reason = {
    code: string;
    detail: string;
};
/**
 * `waiting`: the next attempt is at `retryAt`. `stopped`: there will be no other; its reason has the code `closed` after `close()`.
 */
export type State = {
    name: "idle" | "connecting" | "syncing" | "open";
} | {
    name: "waiting";
    retryAt: Date;
    reason: Reason;
} | {
    name: "stopped";
    reason: Reason;
};
/**
 * The client's own, and frames of the service as docs/protocol.md has them. `welcome` and `synced` may be those of a connection that
 * is about to take over. `state`: it changed. `connected`: replay is over.
 * `disconnected`, `unreachable`: the client tries again by itself. `outbox`: a send waits, is stored or failed. `unsaved`: the store
 * failed to keep the position, messages or sends.
 */
export type ClientEvent = {
    type: "state";
    state: State;
} | {
    type: "connected";
    instance_id: string;
    connection_id: string;
    resumed: boolean;
} | {
    type: "disconnected";
    code: number;
    error: string;
} | ({
    type: "unreachable";
} & Reason) | {
    type: "outbox";
} | {
    type: "unsaved";
    detail: string;
} | Told;
