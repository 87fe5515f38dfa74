/** Keeps where the application is in its store, one save after the other; a later position replaces one that waits. */

import { checkedCursors, checkedShort } from "./checks.js";
import { ClientStopped } from "./errors.js";
import { within } from "./waiting.js";

const STORE_MS = 10_000; // a store that takes longer is as good as down

export class Position {
  /** @type {Promise<void>} */
  #saving = Promise.resolve();
  #isWaiting = false;

  /**
   * @param {import("./inbox.js").Inbox} inbox
   * @param {import("./store.js").Store} store
   * @param {import("./events.js").Events} events
   */
  constructor(inbox, store, events) {
    this.inbox = inbox;
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

  /** It may have changed. Returns when it is saved. */
  keep() {
    if (!this.#isWaiting && this.inbox.streams.cursors) {
      this.#isWaiting = true;
      this.#saving = this.#saving.then(() => this.#save());
    }
    return this.#saving;
  }

  async #save() {
    this.#isWaiting = false;
    try {
      const kept = { cursors: this.inbox.cursors, generation: this.inbox.streams.generation };
      await within(this.store.save(kept), STORE_MS);
    } catch (error) {
      this.events.tell({ type: "unsaved", detail: nameOf(error) });
    }
  }
}

/** @param {unknown} error */
const nameOf = (error) => (error instanceof Error ? error.name : typeof error);
