/** Messages as the application takes them: one that a loop was left at is the first of the next loop. */
/** @typedef {import("./frames.js").Message} Message */
/**
 * One loop over the messages of a client. It ends with `return`, which a loop that is left calls, or with the client.
 *
 * @implements {AsyncIterableIterator<Message, void, void>}
 */
export class Messages implements AsyncIterableIterator<Message, void, void> {
    /**
     * @internal
     * @param {import("./engine.js").Engine} engine
     */
    constructor(engine: import("./engine.js").Engine);
    /**
     * The message before this one is done with.
     *
     * @returns {Promise<IteratorResult<Message, void>>}
     */
    next(): Promise<IteratorResult<Message, void>>;
    /**
     * A message in hand is not done with: it is shown again. A call of `next` that waits takes none.
     *
     * @returns {Promise<IteratorReturnResult<void>>}
     */
    return(): Promise<IteratorReturnResult<void>>;
    [Symbol.asyncIterator](): this;
    #private;
}
export type Message = import("./frames.js").Message;
