"use client";
/**
 * React hooks above a `ChatView`: a component renders again when what its hooks return has changed, and only then.
 *
 * On a server, and while its page is hydrated, they return what a view has that was never started: so both render the same.
 *
 * @module
 */

import { createContext, createElement, useContext, useSyncExternalStore } from "react";
import { ConnectionState } from "./view/connection.js";

/** @typedef {import("./view/index.js").ChatView} ChatView */
/** @typedef {import("./view/index.js").ConnectionView} ConnectionView */
/** @typedef {import("./view/index.js").ConversationView} ConversationView */
/** @typedef {import("./view/index.js").PresenceView} PresenceView */
/** @typedef {import("./view/index.js").UnsentView} UnsentView */

const NOT_STARTED = new ConnectionState().view;
/** @type {readonly never[]} */
const NONE = Object.freeze([]);

const Context = createContext(/** @type {ChatView | null} */ (null));

/**
 * Gives a view to the hooks of the components in it. The application makes, starts and closes the view: an effect of React
 * may run twice, and a view that was closed stays closed.
 *
 * @param {{ view: ChatView, children?: import("react").ReactNode }} props
 * @returns {import("react").ReactElement}
 */
export function HoldfastProvider({ view, children }) {
  return createElement(Context.Provider, { value: view }, children);
}

/** The view, for what the user does: `send`, `load`, `read`. Throws Error: there is no `HoldfastProvider`. @returns {ChatView} */
export function useView() {
  const view = useContext(Context);
  if (!view) throw new Error("no view: render this component inside a HoldfastProvider");
  return view;
}

/** How the connection is. @returns {ConnectionView} */
export function useConnection() {
  return useSnapshot((view) => view.connection(), NOT_STARTED);
}

/** All conversations, latest activity first. @returns {readonly ConversationView[]} */
export function useConversations() {
  return useSnapshot((view) => view.conversations(), NONE);
}

/**
 * One conversation; undefined where the user is in no such conversation, or it is not known yet. It is not fetched by this:
 * `view.load(id)` does.
 *
 * @param {string} id
 * @returns {ConversationView | undefined}
 */
export function useConversation(id) {
  return useSnapshot((view) => view.conversation(id), undefined);
}

/** Sends that are not stored, of one conversation or of all. @param {string} [conversationId] @returns {readonly UnsentView[]} */
export function useOutbox(conversationId) {
  return useSnapshot((view) => view.outbox(conversationId), NONE);
}

/** undefined where the service has not told of that user. @param {string} userId @returns {PresenceView | undefined} */
export function usePresence(userId) {
  return useSnapshot((view) => view.presence(userId), undefined);
}

/**
 * @template T
 * @param {(view: ChatView) => T} snapshot the same object until something in it changes
 * @param {T} initial as of a view that was not started
 */
function useSnapshot(snapshot, initial) {
  const view = useView();
  return useSyncExternalStore(
    view.subscribe,
    () => snapshot(view),
    () => initial,
  );
}
