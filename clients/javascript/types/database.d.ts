/** Opened when it is needed, and again where the browser closed it. Each method throws what IndexedDB says. */
export class Database {
    /** @param {string} name */
    constructor(name: string);
    /** Entries that no client of this version can have written. */
    dropped: number;
    /** It was removed, or has a newer layout: it is not opened again. */
    isGone: boolean;
    name: string;
    /** null where nothing was kept. A conversation with a damaged entry is dropped: it is replayed from its beginning. */
    load(): Promise<{
        cursors: Record<string, number>;
        generation: string;
    } | null>;
    /**
     * The newest up to the cursor, without a gap; empty where that one is not kept.
     *
     * @param {string} id
     * @param {number} cursor
     */
    messages(id: string, cursor: number): Promise<import("./frames.js").Message[]>;
    /**
     * All of it, or nothing.
     *
     * Another tab may have written since this one knew of it: a conversation that is further already stays as it is. What is kept of
     * one never has a gap: messages that do not follow replace those before.
     *
     * @param {import("./unwritten.js").Unwritten} unwritten
     * @param {string} tab whose sends they are
     */
    write({ position, progress, sends, hasMoved }: import("./unwritten.js").Unwritten, tab: string): Promise<void>;
    /** Tabs that have sends. */
    tabs(): Promise<string[]>;
    /**
     * Give the sends of these tabs to this one, in the order in which they were queued. What is no send is dropped.
     *
     * @param {string[]} from
     * @param {string} to
     * @returns {Promise<KeptSend[]>}
     */
    adopt(from: string[], to: string): Promise<KeptSend[]>;
    /** Make room: messages can be had from the service again. */
    forgetMessages(): Promise<void>;
    /** Remove everything; other tabs of the user keep nothing any more. Throws TimeoutError: one of them does not let go. */
    clear(): Promise<void>;
    throwIfGone(): void;
    /** It opens again where it is needed. */
    close(): Promise<void>;
    #private;
}
export type Message = import("./frames.js").Message;
export type KeptSend = import("./store.js").KeptSend;
export type Position = import("./store.js").Position;
export type Progress = import("./unwritten.js").Progress;
export type Row = {
    id: string;
    cursor: number;
    keptAt?: number;
};
