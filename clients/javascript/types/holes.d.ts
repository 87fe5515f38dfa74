/** Of one inbox; one page at a time. */
export class Holes {
    /**
     * @param {import("./inbox.js").Inbox} inbox
     * @param {import("./rest.js").Rest} rest
     * @param {Finder} finder
     */
    constructor(inbox: import("./inbox.js").Inbox, rest: import("./rest.js").Rest, finder: Finder);
    inbox: import("./inbox.js").Inbox;
    rest: import("./rest.js").Rest;
    finder: Finder;
    /** There may be something to fetch, or room for it. */
    look(): void;
    /** Fetch one conversation after the other, for ever. One that fails waits alone. @param {AbortSignal} signal */
    run(signal: AbortSignal): Promise<void>;
    #private;
}
export type MessageFrame = import("./frames.js").MessageFrame;
export type Reset = import("./frames.js").Reset;
/**
 * Takes what was found as if the socket had brought it.
 */
export type Finder = {
    found(frame: MessageFrame | Reset): void;
};
