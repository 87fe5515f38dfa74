export class Position {
    /**
     * @param {import("./inbox.js").Inbox} inbox
     * @param {import("./store.js").Store} store
     * @param {import("./events.js").Events} events
     */
    constructor(inbox: import("./inbox.js").Inbox, store: import("./store.js").Store, events: import("./events.js").Events);
    inbox: import("./inbox.js").Inbox;
    store: import("./store.js").Store;
    events: import("./events.js").Events;
    /** Begin where an earlier client was. Throws ClientStopped: without its position messages would be lost or shown twice. */
    load(): Promise<void>;
    /** It may have changed. Returns when it is saved. */
    keep(): Promise<void>;
    #private;
}
