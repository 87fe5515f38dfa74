/** What the socket did not bring is fetched by REST, until there is no hole left. */

import { pause } from "./backoff.js";
import { RestFailed } from "./errors.js";
import { pageAfter } from "./rest.js";
import { Bell, now } from "./waiting.js";

/** @typedef {import("./frames.js").MessageFrame} MessageFrame */
/** @typedef {import("./frames.js").Reset} Reset */
/** Takes what was found as if the socket had brought it. @typedef {{ found(frame: MessageFrame | Reset): void }} Finder */

const PAGE = 200;
const MORE = 10; // after each page that came

/** Of one inbox; one page at a time. */
export class Holes {
  #news = new Bell();
  /** Messages that are asked for at once: fewer after each failure, because a line may be too slow for a large page. */
  #limit = PAGE;
  /** @type {Map<string, { failures: number, notBefore: number }>} by conversation; failures in a row */
  #later = new Map();

  /**
   * @param {import("./inbox.js").Inbox} inbox
   * @param {import("./rest.js").Rest} rest
   * @param {Finder} finder
   */
  constructor(inbox, rest, finder) {
    this.inbox = inbox;
    this.rest = rest;
    this.finder = finder;
  }

  /** There may be something to fetch, or room for it. */
  look() {
    if (this.inbox.streams.wanted.size) this.#news.ring();
  }

  /** Fetch one conversation after the other, for ever. One that fails waits alone. @param {AbortSignal} signal */
  async run(signal) {
    for (;;) {
      await this.#news.heard(signal, this.#untilNext());
      for (const id of [...this.inbox.streams.wanted.keys()]) {
        if (now() >= (this.#later.get(id)?.notBefore ?? 0)) await this.#tryToFill(id);
      }
    }
  }

  #untilNext() {
    for (const id of this.#later.keys()) if (!this.inbox.streams.wanted.has(id)) this.#later.delete(id);
    const next = Math.min(...[...this.#later.values()].map((each) => each.notBefore));
    return next === Infinity ? undefined : Math.max(0, next - now());
  }

  /** @param {string} id */
  async #tryToFill(id) {
    try {
      await this.#fill(id);
      this.#later.delete(id);
    } catch (error) {
      if (!(error instanceof RestFailed)) throw error;
      this.#limit = Math.max(1, this.#limit >> 1);
      const failures = this.#later.get(id)?.failures ?? 0;
      this.#later.set(id, { failures: failures + 1, notBefore: now() + pause(failures) });
    }
  }

  /** While a whole page fits: what does not would be thrown away and fetched again. @param {string} id */
  async #fill(id) {
    const { inbox } = this;
    const { streams } = inbox;
    while (streams.wanted.has(id) && inbox.hasRoom(this.#limit)) {
      const after = streams.cursor(id);
      const membership = streams.membership(id);
      const page = await pageAfter(this.rest, id, after, this.#limit);
      if (!page) {
        if (streams.membership(id) !== membership) continue; // the user was added again meanwhile
        streams.giveUp(id);
        inbox.follow();
        return;
      }
      this.#limit = Math.min(PAGE, this.#limit + MORE);
      if (!streams.cursors?.has(id)) return; // it ended meanwhile: what the page brings must not begin it again
      for (const message of page.messages) this.finder.found({ ...message, type: "message" });
      if (streams.cursor(id) !== after) continue;
      if (page.messages.length) throw new RestFailed(200, "unreachable", "a page without the message that was asked for", true);
      if (page.last_seq < after) this.finder.found({ type: "reset", conversation_id: id, last_seq: page.last_seq });
      streams.exhausted(id);
    }
  }
}
