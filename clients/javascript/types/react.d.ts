/**
 * Gives a view to the hooks of the components in it. The application makes, starts and closes the view: an effect of React
 * may run twice, and a view that was closed stays closed.
 *
 * @param {{ view: ChatView, children?: import("react").ReactNode }} props
 * @returns {import("react").ReactElement}
 */
export function HoldfastProvider({ view, children }: {
    view: ChatView;
    children?: import("react").ReactNode;
}): import("react").ReactElement;
/** The view, for what the user does: `send`, `load`, `read`. Throws Error: there is no `HoldfastProvider`. @returns {ChatView} */
export function useView(): ChatView;
/** How the connection is. @returns {ConnectionView} */
export function useConnection(): ConnectionView;
/** All conversations, latest activity first. @returns {readonly ConversationView[]} */
export function useConversations(): readonly ConversationView[];
/**
 * One conversation; undefined where the user is in no such conversation, or it is not known yet. It is not fetched by this:
 * `view.load(id)` does.
 *
 * @param {string} id
 * @returns {ConversationView | undefined}
 */
export function useConversation(id: string): ConversationView | undefined;
/** Sends that are not stored, of one conversation or of all. @param {string} [conversationId] @returns {readonly UnsentView[]} */
export function useOutbox(conversationId?: string): readonly UnsentView[];
/** undefined where the service has not told of that user. @param {string} userId @returns {PresenceView | undefined} */
export function usePresence(userId: string): PresenceView | undefined;
export type ChatView = import("./view/index.js").ChatView;
export type ConnectionView = import("./view/index.js").ConnectionView;
export type ConversationView = import("./view/index.js").ConversationView;
export type PresenceView = import("./view/index.js").PresenceView;
export type UnsentView = import("./view/index.js").UnsentView;
