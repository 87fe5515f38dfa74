export class Position {
    /**
     * @param {import("./inbox.js").Inbox} inbox
     * @param {import("./outbox.js").Outbox} outbox
     * @param {import("./store.js").Store} store
     * @param {import("./events.js").Events} events
     */
    constructor(inbox: import("./inbox.js").Inbox, outbox: import("./outbox.js").Outbox, store: import("./store.js").Store, events: import("./events.js").Events);
    inbox: import("./inbox.js").Inbox;
    outbox: import("./outbox.js").Outbox;
    store: import("./store.js").Store;
    events: import("./events.js").Events;
    /** Begin where an earlier client was. Throws ClientStopped: without its position messages would be lost or shown twice. */
    load(): Promise<void>;
    /** It may have changed, or sends alone. Returns when it is saved. */
    keep(hasMoved?: boolean): Promise<void>;
    /** Save for the last time. */
    end(): Promise<void>;
    /**
     * Go on with sends of clients that have ended, until the signal.
     *
     * @param {(send: import("./store.js").KeptSend) => void} restore
     * @param {AbortSignal} signal
     */
    takeLeft(restore: (send: import("./store.js").KeptSend) => void, signal: AbortSignal): Promise<void>;
    #private;
}
