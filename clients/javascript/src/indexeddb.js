/**
 * A store in the browser's IndexedDB: a page that is loaded again goes on where it was, and shows what it had before it connects.
 *
 * @module
 */

import { baseUrls } from "./addresses.js";
import { checkId } from "./checks.js";
import { Database } from "./database.js";
import { Tabs } from "./tabs.js";
import { Unwritten } from "./unwritten.js";
import { sleep, within } from "./waiting.js";

/** @typedef {import("./frames.js").Message} Message */
/** @typedef {import("./store.js").KeptSend} KeptSend */
/** @typedef {import("./store.js").Position} Position */
/** @typedef {import("./store.js").Store} Store */

const LOAD_MS = 8_000; // a browser may never answer
const LOOK_MS = 3_000; // sends of tabs that have ended are looked for this often

/**
 * For one client. Of each of the 100 conversations that moved last the newest 200 messages are kept. Where IndexedDB does not work the
 * client goes on without it and tells `unsaved`, once until it works again. Throws TypeError for an address or a user's id that no
 * instance would accept.
 *
 * @param {{ userId: string, address: string }} options the signed-in user, and an address of the service: always the same one
 */
export function indexedDbStore({ userId, address }) {
  checkId(userId, "userId");
  return new IndexedDbStore(userId, `holdfast ${userId} ${baseUrls([address])[0]}`);
}

/** @implements {Store} */
export class IndexedDbStore {
  /** Whose it is. */
  userId;
  #database;
  #tabs;
  #unwritten = new Unwritten();
  /** @type {Promise<Position | null> | null} */
  #loading = null;
  /** @type {Promise<void>} */
  #writing = Promise.resolve();
  /** @type {unknown} of the last use of the database; null where it worked */
  #failure = null;
  #isToldOfFailure = false;
  /** What is kept could not be read: it is not written over, or messages that were never shown would count as shown. */
  #isUnread = false;
  #over = new AbortController();
  #hasBegun = false;
  #isCleared = false;

  /**
   * @internal
   * @param {string} userId
   * @param {string} name
   */
  constructor(userId, name) {
    this.userId = userId;
    this.#database = new Database(name);
    this.#tabs = new Tabs(name);
  }

  /** Damaged entries that were left out so far. */
  get dropped() {
    return this.#database.dropped;
  }

  /** Whether this tab writes positions and messages: one of the user's tabs does. */
  get isLeader() {
    return this.#tabs.isLeader;
  }

  /** Where IndexedDB does not work there is nothing kept: the next `save` says why. @returns {Promise<Position | null>} */
  load() {
    return (this.#loading ??= this.#load());
  }

  async #load() {
    this.#begin();
    const position = await within(this.#database.load(), LOAD_MS).catch((error) => {
      this.#failure = error;
      this.#isUnread = true;
      return null;
    });
    if (position) this.#unwritten.begin(position);
    return position;
  }

  /**
   * @param {Position} position
   * @param {Message[]} messages
   */
  async save(position, messages) {
    this.#unwritten.moved(position, messages);
    await this.#writeOrTell();
  }

  /** @param {Map<string, KeptSend | null>} sends */
  async saveSends(sends) {
    this.#unwritten.changed(sends);
    await this.#writeOrTell();
  }

  /** Only the leader is given them. It writes what it held back while another one was the leader. @param {AbortSignal} signal */
  async leftSends(signal) {
    this.#begin();
    for (;;) {
      await this.#tabs.leading(signal);
      await this.#write().catch(() => {}); // the next `save` tells
      const left = await this.#adopt().catch(() => []);
      if (left.length) return left;
      if (this.#database.isGone) this.#tabs.end(); // a tab whose user signs in again has a new database, and is to write it
      await sleep(signal, LOOK_MS);
    }
  }

  /**
   * What an earlier page had of a conversation: to be shown before those of `client.messages()`, which are all later.
   *
   * @param {string} conversationId
   * @returns {Promise<Message[]>} ascending
   */
  async messages(conversationId) {
    const position = await this.load();
    const cursor = position?.cursors[conversationId] ?? 0;
    return this.#database.messages(conversationId, cursor).catch(() => []);
  }

  /** Let another tab write. */
  async close() {
    this.#over.abort();
    this.#tabs.end();
    await this.#write().catch(() => {});
    await this.#database.close();
  }

  /** Remove everything that is kept of this user, when the user has signed out. Close the client before. */
  async clear() {
    await this.close();
    this.#isCleared = true;
    await this.#database.clear();
  }

  /** The others' entries are read before the tabs: one that is there was written by a tab that held its lock. */
  async #adopt() {
    const ended = await this.#tabs.ended(await this.#database.tabs());
    return ended.length ? this.#database.adopt(ended, this.#tabs.id) : [];
  }

  #begin() {
    if (!this.#hasBegun && !this.#over.signal.aborted) this.#tabs.begin();
    this.#hasBegun = true;
  }

  async #writeOrTell() {
    try {
      await this.#write();
      if (!this.#failure) this.#isToldOfFailure = false;
    } catch (error) {
      if (this.#isToldOfFailure) return;
      this.#isToldOfFailure = true;
      throw error;
    }
  }

  /** One writing after the other. */
  #write() {
    const writing = this.#writing.catch(() => {}).then(() => this.#writeNow());
    this.#writing = writing;
    return writing;
  }

  async #writeNow() {
    this.#begin();
    await this.#tabs.present;
    const taken = this.#unwritten.take(!this.#isUnread && (this.isLeader || this.#over.signal.aborted));
    if (this.#isCleared) return;
    try {
      this.#database.throwIfGone();
      if (taken.isEmpty && this.#failure) throw this.#failure; // a tab that does not write now is told, too
      if (taken.isEmpty) return;
      await this.#writeWithRoom(taken);
      if (!this.#isUnread) this.#failure = null;
    } catch (error) {
      this.#failure = error;
      this.#unwritten.putBack(taken);
      throw error;
    }
  }

  /** @param {Unwritten} taken */
  async #writeWithRoom(taken) {
    const write = () => this.#database.write(taken, this.#tabs.id);
    try {
      await write();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "QuotaExceededError") throw error;
      await this.#database.forgetMessages();
      await write();
    }
  }
}
