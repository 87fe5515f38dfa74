/**
 * Keeps all of it as long as the page or process lives, and of messages the last 1,000. One client at a time uses it.
 *
 * @returns {Required<Pick<Store, "load" | "save" | "saveSends" | "leftSends" | "messages">>}
 */
export function memoryStore(): Required<Pick<Store, "load" | "save" | "saveSends" | "leftSends" | "messages">>;
/**
 * Those up to the cursor without a gap. Where numbers begin again the conversation was reset.
 *
 * @param {number} cursor
 * @param {Message[]} messages of one conversation
 */
export function endingAt(cursor: number, messages: Message[]): import("./frames.js").Message[];
export type Draft = import("./checks.js").Draft;
export type Message = import("./frames.js").Message;
export type Position = {
    cursors: Record<string, number>;
    generation: string;
};
/**
 * A send that is not stored. `error`: why it failed; null while it is still to be sent.
 */
export type KeptSend = {
    draft: Draft;
    error: {
        code: string;
        detail: string;
        outcome: "refused" | "unknown";
        retryable: boolean;
    } | null;
};
/**
 * `load` and `save` are all that a store has to have. Each call but `leftSends` may take 10 s, and a call that failed is not repeated.
 */
export type Store = {
    /**
     * null where nothing was kept
     */
    load: () => Promise<Position | null>;
    /**
     * with the messages that the application has done with
     * since the last call: all of it or nothing. A position that is behind the last one comes from a reset. It is not called again
     * before it is done, or has taken 10 s
     */
    save: (position: Position, messages: Message[]) => Promise<void>;
    /**
     * what changed; null: it is stored, or discarded
     */
    saveSends?: ((sends: Map<string, KeptSend | null>) => Promise<void>) | undefined;
    /**
     * waits until there are sends of clients that have ended, which
     * are this client's from then on. The signal: this client has ended
     */
    leftSends?: ((signal: AbortSignal) => Promise<KeptSend[]>) | undefined;
    /**
     * the newest before this client's own, without a gap
     */
    messages?: ((conversationId: string) => Promise<Message[]>) | undefined;
    /**
     * the client has ended; it may be called twice, and the others after it
     */
    close?: (() => Promise<void>) | undefined;
    /**
     * a connection as another user ends the client with `store_failed`
     */
    userId?: string | undefined;
};
