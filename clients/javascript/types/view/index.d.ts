export { ChatView } from "./chatView.js";
export type ViewOptions = import("./chatView.js").ViewOptions;
export type ConversationView = import("./conversation.js").ConversationView;
export type ConnectionView = import("./connection.js").ConnectionView;
export type PresenceView = import("./presence.js").PresenceView;
export type UnsentView = import("./unsent.js").UnsentView;
