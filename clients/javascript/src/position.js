/** Keeps in the store where the application is, and its sends; one save after the other, a later one replaces one that waits. */

import { checkedCursors, checkedShort } from "./checks.js";
import { ClientStopped } from "./errors.js";
import { within } from "./waiting.js";

const STORE_MS = 10_000; // a store that takes longer is as good as down

export class Position {
  /** @type {Promise<void>} */
  #saving = Promise.resolve();
  #isWaiting = false;
  #hasMoved = false;

  /**
   * @param {import("./inbox.js").Inbox} inbox
   * @param {import("./outbox.js").Outbox} outbox
   * @param {import("./store.js").Store} store
   * @param {import("./events.js").Events} events
   */
  constructor(inbox, outbox, store, events) {
    this.inbox = inbox;
    this.outbox = outbox;
    this.store = store;
    this.events = events;
  }

  /** Begin where an earlier client was. Throws ClientStopped: without its position messages would be lost or shown twice. */
  async load() {
    try {
      const kept = await within(this.store.load(), STORE_MS);
      if (kept) this.inbox.begin(checkedCursors(kept.cursors), checkedShort(kept.generation, "generation", 128));
    } catch (error) {
      throw new ClientStopped("store_failed", `the position cannot be loaded: ${nameOf(error)}`);
    }
  }

  /** It may have changed, or sends alone. Returns when it is saved. */
  keep(hasMoved = true) {
    this.#hasMoved ||= hasMoved;
    if (!this.#isWaiting) {
      this.#isWaiting = true;
      this.#saving = this.#saving.then(() => this.#save());
    }
    return this.#saving;
  }

  /** Save for the last time. */
  async end() {
    await this.keep();
    try {
      await within(this.store.close?.(), STORE_MS);
    } catch (error) {
      this.#unsaved(error);
    }
  }

  /**
   * Go on with sends of clients that have ended, until the signal.
   *
   * @param {(send: import("./store.js").KeptSend) => void} restore
   * @param {AbortSignal} signal
   */
  async takeLeft(restore, signal) {
    try {
      while (this.store.leftSends && !signal.aborted) (await this.store.leftSends(signal)).forEach(restore);
    } catch (error) {
      if (!signal.aborted) this.#unsaved(error);
    }
  }

  async #save() {
    this.#isWaiting = false;
    const { inbox, store } = this;
    try {
      const sends = this.outbox.takeChanges();
      const work = [sends.size && store.saveSends?.(sends)];
      if (this.#hasMoved && inbox.streams.cursors) {
        this.#hasMoved = false;
        work.push(store.save({ cursors: inbox.cursors, generation: inbox.streams.generation }, inbox.takeDone()));
      }
      await within(Promise.all(work), STORE_MS);
    } catch (error) {
      this.#unsaved(error);
    }
  }

  /** @param {unknown} error */
  #unsaved(error) {
    this.events.tell({ type: "unsaved", detail: nameOf(error) });
  }
}

/** @param {unknown} error */
const nameOf = (error) => (error instanceof Error ? error.name : typeof error);
