/**
 * Messages on their way to the application: those that are not taken yet, and the position of the application.
 *
 * Pure. `streams` decides which messages are shown. Here they wait until the application takes them, at most `MAX_UNREAD` of them.
 * Messages that do not fit leave a gap like any other, and are fetched again.
 */

import { Streams } from "./streams.js";

/** @typedef {import("./frames.js").Message} Message */

const MAX_UNREAD = 1_000;

/** Tell changes here; ask `streams` for what is wanted. */
export class Inbox {
  /** @type {Message[]} */
  #unread = [];
  /** @type {Message[]} since they were asked for */
  #done = [];
  /** @type {Message | null} being handled by the application */
  #inHand = null;
  /** @type {Map<string, number>} */
  #taken = new Map();
  /** @type {Map<string, number>} only messages that were taken: a stream may begin behind a history */
  #read = new Map();
  streams = new Streams(null, "");

  /**
   * Before anything else: where the application is.
   *
   * @param {Map<string, number> | null} cursors
   * @param {string} generation
   */
  begin(cursors, generation) {
    this.streams = new Streams(cursors && new Map(cursors), generation);
    this.#taken = new Map(cursors ?? []);
    this.#read = new Map(cursors ?? []);
  }

  get size() {
    return this.#unread.length;
  }

  /** Conversation -> seq of the last message that the application has done with. */
  get cursors() {
    return Object.fromEntries(this.#taken);
  }

  /** The last message of the conversation that was taken, here or by the client that kept the cursors; 0: none. @param {string} id */
  readSeq(id) {
    return this.#read.get(id) ?? 0;
  }

  /** Whether so many more fit. @param {number} [messages] */
  hasRoom(messages = 1) {
    return this.#unread.length + messages <= MAX_UNREAD;
  }

  /** Whether it can be taken now; if not it is known, or will be fetched. @param {Message} frame */
  offer(frame) {
    if (!this.streams.offer(frame, this.hasRoom())) return false;
    if (!this.#taken.has(frame.conversation_id)) this.#taken.set(frame.conversation_id, frame.seq - 1);
    this.#unread.push(frame);
    return true;
  }

  /** The next one; undefined where there is none. */
  take() {
    const message = this.#unread.shift();
    if (message) {
      this.#inHand = message;
      if (this.#taken.has(message.conversation_id)) this.#read.set(message.conversation_id, message.seq);
    }
    return message;
  }

  /** It is the next one again: the application was not done with it. @param {Message} message */
  putBack(message) {
    if (this.#inHand !== message) return; // a reset took it back
    this.#inHand = null;
    this.#unread.unshift(message);
  }

  /** The application has done with a message that it took. @param {Message} message */
  done(message) {
    if (this.#inHand !== message) return; // a reset took it back
    this.#inHand = null;
    if (!this.#taken.has(message.conversation_id)) return;
    this.#taken.set(message.conversation_id, message.seq);
    if (this.#done.push(message) > MAX_UNREAD) this.#done.shift();
  }

  /** The messages that the application has done with since the last call, the last 1,000 of them. */
  takeDone() {
    return this.#done.splice(0);
  }

  /**
   * The store was restored and ends at `lastSeq`: what lay behind it will be something else.
   *
   * Where the store has grown past the cursor since, nothing tells which of the earlier messages are still the same.
   *
   * @param {string} id
   * @param {number} lastSeq
   */
  reset(id, lastSeq) {
    const validTo = this.streams.cursor(id) > lastSeq ? lastSeq : 0;
    this.streams.reset(id, lastSeq);
    this.#unread = this.#unread.filter((each) => each.conversation_id !== id || each.seq <= validTo);
    this.#done = this.#done.filter((each) => each.conversation_id !== id);
    if (this.#inHand && this.#inHand.conversation_id === id && this.#inHand.seq > validTo) this.#inHand = null;
    this.#taken.set(id, this.#beforeUnread(id, lastSeq));
    this.#read.set(id, Math.min(this.readSeq(id), lastSeq));
  }

  /** Conversations begin where their streams begin, and end with them: to be called after each change of the streams. */
  follow() {
    const known = this.streams.cursors;
    if (!known) return;
    for (const id of [...this.#taken.keys()]) {
      if (known.has(id)) continue;
      this.#taken.delete(id);
      this.#read.delete(id);
    }
    for (const [id, cursor] of known) {
      if (!this.#taken.has(id)) this.#taken.set(id, this.#beforeUnread(id, cursor));
    }
  }

  /**
   * The cursor, or what lies before the first message that is still to be done with.
   *
   * @param {string} id
   * @param {number} cursor
   */
  #beforeUnread(id, cursor) {
    const open = this.#inHand ? [this.#inHand, ...this.#unread] : this.#unread;
    return open.reduce((least, each) => (each.conversation_id === id ? Math.min(least, each.seq - 1) : least), cursor);
  }
}
