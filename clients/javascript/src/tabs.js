/**
 * The tabs of one user in one browser: which of them writes the position, and which have ended.
 *
 * Each tab holds a lock of its own while it lives. One of them holds the lock of the leader, and the browser gives that lock to the
 * next one when the tab ends or is frozen. Without locks (a page without TLS) each tab takes itself for the leader.
 */

import { Bell, deferred, randomId } from "./waiting.js";

/** One tab, until `end`. */
export class Tabs {
  id = randomId();
  isLeader = false;
  /** Resolved when the others can see this tab. */
  present = Promise.resolve();
  /** Rung when this tab became the leader. */
  #news = new Bell();
  #hasLooked = false;
  #over = new AbortController();
  #page = new AbortController();

  /** @param {string} name of the store */
  constructor(name) {
    this.name = name;
  }

  /** Hold the locks, but while the page is in the browser's back and forward cache. */
  begin() {
    const { signal } = this.#page;
    globalThis.addEventListener?.("pagehide", () => this.#release(), { signal });
    globalThis.addEventListener?.("pageshow", ({ persisted }) => persisted && this.#hold(), { signal });
    this.#hold();
  }

  /** Hold nothing any more. */
  end() {
    this.#page.abort();
    this.#release();
  }

  /** Wait until this tab is the leader. Throws the signal's reason. @param {AbortSignal} signal */
  async leading(signal) {
    while (!this.isLeader) await this.#news.heard(signal);
    signal.throwIfAborted();
  }

  /** Of these tabs, those that have ended. Without locks: all others, the first time. @param {string[]} tabs */
  async ended(tabs) {
    const locks = globalThis.navigator?.locks;
    if (!locks && this.#hasLooked) return [];
    this.#hasLooked = true;
    const { held = [] } = locks ? await locks.query() : {};
    const names = new Set(held.map(({ name }) => name));
    return tabs.filter((tab) => tab !== this.id && !names.has(this.#nameOf(tab)));
  }

  /** @param {string} tab */
  #nameOf(tab) {
    return `${this.name} tab ${tab}`;
  }

  #hold() {
    const { signal } = (this.#over = new AbortController());
    const locks = globalThis.navigator?.locks;
    if (!locks) {
      this.#lead();
      return;
    }
    /** @param {() => void} held */
    const holding = (held) => () => {
      held();
      return new Promise((resolve) => (signal.aborted ? resolve(null) : signal.addEventListener("abort", resolve)));
    };
    const present = deferred();
    this.present = present.promise;
    const failed = () => {
      present.resolve();
      if (!signal.aborted) this.#lead(); // an origin that may not use locks
    };
    locks.request(this.#nameOf(this.id), { signal }, holding(present.resolve)).catch(failed);
    locks.request(`${this.name} leader`, { signal }, holding(() => signal.aborted || this.#lead())).catch(failed);
  }

  #lead() {
    this.isLeader = true;
    this.#news.ring();
  }

  #release() {
    this.isLeader = false;
    this.#news.mute();
    this.#over.abort();
  }
}
