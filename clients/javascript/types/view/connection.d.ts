/** How the connection is, as a window says it. */
/** @typedef {import("../events.js").Reason} Reason */
/** @typedef {import("../events.js").State} State */
/** @typedef {import("../frames.js").Limits} Limits */
/**
 * @typedef {object} ConnectionView
 * @property {State["name"]} name as in the client's `state`
 * @property {Date | null} retryAt of `waiting`
 * @property {Reason | null} reason why there is no connection, from the first failure on until there is one
 * @property {string} instanceId the instance at the other end, or the last one that was; empty before the first
 * @property {string} userId whose connection it is; empty before the first
 * @property {Limits | null} limits of the service; null before the first connection
 * @property {readonly string[]} degraded dependencies of the service that do not work
 * @property {boolean} isListed all conversations are known
 */
export class ConnectionState {
    /** @type {ConnectionView} */
    view: ConnectionView;
    /** @param {Partial<ConnectionView>} changes */
    change(changes: Partial<ConnectionView>): void;
    /** @param {State} state */
    become(state: State): void;
    /** @param {import("../frames.js").Welcome} welcome */
    greet({ user_id: userId, instance_id: instanceId, limits, degraded }: import("../frames.js").Welcome): void;
    /** @param {import("../frames.js").Degraded} frame */
    depend({ type, dependencies }: import("../frames.js").Degraded): void;
}
export type Reason = import("../events.js").Reason;
export type State = import("../events.js").State;
export type Limits = import("../frames.js").Limits;
export type ConnectionView = {
    /**
     * as in the client's `state`
     */
    name: State["name"];
    /**
     * of `waiting`
     */
    retryAt: Date | null;
    /**
     * why there is no connection, from the first failure on until there is one
     */
    reason: Reason | null;
    /**
     * the instance at the other end, or the last one that was; empty before the first
     */
    instanceId: string;
    /**
     * whose connection it is; empty before the first
     */
    userId: string;
    /**
     * of the service; null before the first connection
     */
    limits: Limits | null;
    /**
     * dependencies of the service that do not work
     */
    degraded: readonly string[];
    /**
     * all conversations are known
     */
    isListed: boolean;
};
