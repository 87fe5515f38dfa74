/**
 * What a window shows, kept by the client: conversations, messages, receipts, typing, presence, sends on their way.
 *
 * @module
 */

export { ChatView } from "./chatView.js";

/** @typedef {import("./chatView.js").ViewOptions} ViewOptions */
/** @typedef {import("./conversation.js").ConversationView} ConversationView */
/** @typedef {import("./connection.js").ConnectionView} ConnectionView */
/** @typedef {import("./presence.js").PresenceView} PresenceView */
/** @typedef {import("./unsent.js").UnsentView} UnsentView */
