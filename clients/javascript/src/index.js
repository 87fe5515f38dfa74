/**
 * The client of Holdfast for browsers and Node: every message shown once and in order, whatever happens to the instances behind it.
 *
 * @module
 */

export { Client } from "./client.js";
export { ClientStopped, RestFailed, SendFailed, Unauthorized } from "./errors.js";
export { memoryStore } from "./store.js";

/** @typedef {import("./client.js").Options} Options */
/** @typedef {import("./client.js").Unsent} Unsent */
/** @typedef {import("./events.js").ClientEvent} ClientEvent */
/** @typedef {import("./events.js").Reason} Reason */
/** @typedef {import("./events.js").State} State */
/** @typedef {import("./frames.js").Ack} Ack */
/** @typedef {import("./frames.js").Message} Message */
/** @typedef {import("./rest.js").Conversation} Conversation */
/** @typedef {import("./rest.js").History} History */
/** @typedef {import("./store.js").KeptSend} KeptSend */
/** @typedef {import("./store.js").Position} Position */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./tokens.js").Token} Token */
