/** The user's conversations, and stable snapshots of them. */

import { Conversation } from "./conversation.js";

/** @typedef {import("./conversation.js").ConversationView} ConversationView */
/** @typedef {import("../rest.js").Conversation} Summary */

export class Conversations {
  /** Whose view it is: known with the first connection. */
  userId = "";
  /** @type {Map<string, Conversation>} */
  #all = new Map();
  /** @type {readonly ConversationView[] | null} */
  #list = null;

  /**
   * @param {number} kept messages of one conversation
   * @param {number} loaded conversations whose messages are held at a time
   */
  constructor(kept, loaded) {
    this.kept = kept;
    this.loaded = loaded;
  }

  /** Latest activity first, those whose summary has not come yet left out. */
  list() {
    return (this.#list ??= Object.freeze(this.known.sort(laterFirst).map((each) => this.#viewOf(each))));
  }

  /** @param {string} id */
  view(id) {
    const one = this.#all.get(id);
    return one?.isKnown ? this.#viewOf(one) : undefined;
  }

  /** In no order. @returns {Conversation[]} */
  get known() {
    return this.all.filter((each) => each.isKnown);
  }

  get all() {
    return [...this.#all.values()];
  }

  /** @param {string} id */
  find(id) {
    return this.#all.get(id);
  }

  /** Found or begun; it is about to change. @param {string} id */
  touch(id) {
    const one = this.#all.get(id) ?? new Conversation(id, this);
    this.#all.set(id, one);
    one.changed();
    return one;
  }

  /** One of them has changed. */
  invalidate() {
    this.#list = null;
  }

  /** @param {Summary} summary */
  learn(summary) {
    const one = this.touch(summary.conversation_id);
    one.learn(summary, this.userId);
    return one;
  }

  /** @param {string} id */
  delete(id) {
    this.invalidate();
    this.#all.get(id)?.forgetTyping();
    this.#all.delete(id);
  }

  /** The last one to be loaded, as `touch`: where too many are, the first one keeps its tail only. @param {string} id */
  setLoaded(id) {
    const one = this.touch(id);
    this.#all.delete(id);
    this.#all.set(id, one);
    one.isLoaded = true;
    const loaded = this.all.filter((each) => each.isLoaded);
    for (const { id: other } of loaded.slice(0, -this.loaded)) this.touch(other).unload();
    return one;
  }

  /** @param {Conversation} one */
  #viewOf(one) {
    return one.view(this.userId);
  }
}

/** @param {Conversation} one @param {Conversation} other */
const laterFirst = (one, other) => other.activeAt - one.activeAt || (one.id < other.id ? -1 : 1);
