/** Messages as the application takes them: one that a loop was left at is the first of the next loop. */

/** @typedef {import("./frames.js").Message} Message */

/**
 * One loop over the messages of a client. It ends with `return`, which a loop that is left calls, or with the client.
 *
 * @implements {AsyncIterableIterator<Message, void, void>}
 */
export class Messages {
  #engine;
  #over = new AbortController();
  /** @type {Message | null} */
  #inHand = null;
  /** @type {Promise<unknown>} the call of `next` before this one */
  #before = Promise.resolve();

  /**
   * @internal
   * @param {import("./engine.js").Engine} engine
   */
  constructor(engine) {
    this.#engine = engine;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /**
   * The message before this one is done with.
   *
   * @returns {Promise<IteratorResult<Message, void>>}
   */
  next() {
    const answer = this.#before.then(() => this.#next());
    this.#before = answer.catch(() => {});
    return answer;
  }

  /**
   * A message in hand is not done with: it is shown again. A call of `next` that waits takes none.
   *
   * @returns {Promise<IteratorReturnResult<void>>}
   */
  async return() {
    this.#over.abort();
    if (this.#inHand) this.#engine.inbox.putBack(this.#inHand);
    this.#inHand = null;
    return { done: true, value: undefined };
  }

  /** @returns {Promise<IteratorResult<Message, void>>} */
  async #next() {
    const { inbox, holes, position } = this.#engine;
    if (this.#inHand) {
      inbox.done(this.#inHand);
      this.#inHand = null;
      position.keep();
    }
    if (!(await this.#hasMessage()) || this.#over.signal.aborted) return this.return();
    const message = inbox.take();
    if (!message) return this.#next(); // a reset took it meanwhile
    this.#inHand = message;
    holes.look();
    return { done: false, value: message };
  }

  /** Wait until there is a message to take; false when there will be none any more. */
  async #hasMessage() {
    const engine = this.#engine;
    const { signal } = this.#over;
    while (!signal.aborted && !engine.inbox.size) {
      if (engine.stopped?.code === "closed") return false;
      if (engine.stopped) throw engine.stopped;
      await engine.news.heard(signal).catch(() => {}); // only the signal ends it
    }
    return !signal.aborted;
  }
}
