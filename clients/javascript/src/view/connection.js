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
  view = Object.freeze({
    ...{ name: "idle", retryAt: null, reason: null, instanceId: "", userId: "", limits: null, degraded: [], isListed: false },
  });

  /** @param {Partial<ConnectionView>} changes */
  change(changes) {
    this.view = Object.freeze({ ...this.view, ...changes });
  }

  /** @param {State} state */
  become(state) {
    const retryAt = state.name === "waiting" ? state.retryAt : null;
    const isThere = state.name === "syncing" || state.name === "open";
    const reason = "reason" in state ? state.reason : isThere ? null : this.view.reason;
    this.change({ name: state.name, retryAt, reason });
  }

  /** @param {import("../frames.js").Welcome} welcome */
  greet({ user_id: userId, instance_id: instanceId, limits, degraded = [] }) {
    this.change({ userId, instanceId, limits, degraded: Object.freeze([...degraded].sort()) });
  }

  /** @param {import("../frames.js").Degraded} frame */
  depend({ type, dependencies }) {
    const others = this.view.degraded.filter((each) => !dependencies.includes(each));
    this.change({ degraded: Object.freeze(type === "restored" ? others : [...others, ...dependencies].sort()) });
  }
}
