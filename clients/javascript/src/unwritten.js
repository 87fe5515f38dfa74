/**
 * What a store has been given and has not written yet, in one piece however long that takes.
 *
 * Pure, and bounded: of each conversation the newest messages are held, of as many conversations as are kept.
 */

/** @typedef {import("./frames.js").Message} Message */
/** @typedef {import("./store.js").KeptSend} KeptSend */
/** @typedef {import("./store.js").Position} Position */
/**
 * Of one conversation. `cursor`: null where it is not the user's any more. `isReset`: whatever was kept of it before is not valid.
 * `messages`: the newest, without a gap; the last one is the cursor's, or there are none.
 *
 * @typedef {{ cursor: number | null, isReset: boolean, messages: Message[] }} Progress
 */

import { endingAt } from "./store.js";

export const MOST_MESSAGES = 200; // of one conversation: a page of REST
export const MOST_CONVERSATIONS = 100; // whose messages are kept: those that moved last

const MOST_SENDS = 20_000; // more than wait and fail at once: of those beyond, some are repeated once more than needed

/** One client's, in the order in which the client gave it. */
export class Unwritten {
  /** @type {Position | null} the last one */
  position = null;
  /** @type {Map<string, Progress>} since the last writing */
  progress = new Map();
  /** @type {Map<string, KeptSend | null>} since the last writing; null: not to be kept any more */
  sends = new Map();
  /** Whether there is a position to write. */
  hasMoved = false;
  /** @type {Map<string, number>} the cursors of the last position */
  #known = new Map();

  /** Where the client begins. @param {Position} position */
  begin(position) {
    this.position = position;
    this.#known = new Map(Object.entries(position.cursors));
  }

  /**
   * @param {Position} position
   * @param {Message[]} messages that the application has done with since the last position
   */
  moved(position, messages) {
    /** @type {Map<string, Message[]>} */
    const byConversation = new Map();
    for (const message of messages) {
      const id = message.conversation_id;
      byConversation.set(id, [...(byConversation.get(id) ?? []), message]);
    }
    this.hasMoved ||= this.position?.generation !== position.generation;
    this.position = position;
    const cursors = new Map(Object.entries(position.cursors));
    for (const [id, cursor] of cursors) {
      const known = this.#known.get(id);
      const fresh = byConversation.get(id) ?? [];
      if (known === cursor && !fresh.length) continue;
      const isReset = known !== undefined && (cursor < known || (fresh[0]?.seq ?? Infinity) <= known);
      this.#follow(id, { cursor, isReset, messages: endingAt(cursor, fresh) });
    }
    for (const id of this.#known.keys()) if (!cursors.has(id)) this.#follow(id, { cursor: null, isReset: true, messages: [] });
    this.#known = cursors;
  }

  /** @param {Map<string, KeptSend | null>} sends */
  changed(sends) {
    for (const [id, send] of sends) this.sends.set(id, send);
    for (const id of this.sends.keys()) if (this.sends.size > MOST_SENDS) this.sends.delete(id);
  }

  /** A writing failed: it goes before what came since. @param {Unwritten} earlier */
  putBack(earlier) {
    const { progress, sends } = this;
    this.progress = earlier.progress;
    this.hasMoved ||= earlier.hasMoved;
    this.sends = earlier.sends;
    this.changed(sends);
    for (const [id, later] of progress) this.#follow(id, later);
  }

  /**
   * What is to be written now; it is not here any more.
   *
   * @param {boolean} isLeader whether positions are to be written, and not sends alone
   */
  take(isLeader) {
    const taken = new Unwritten();
    taken.position = this.position;
    taken.sends = this.sends;
    this.sends = new Map();
    if (isLeader) {
      taken.progress = this.progress;
      taken.hasMoved = this.hasMoved;
      this.progress = new Map();
      this.hasMoved = false;
    }
    return taken;
  }

  get isEmpty() {
    return !this.hasMoved && !this.sends.size;
  }

  /**
   * @param {string} id
   * @param {Progress} later
   */
  #follow(id, later) {
    this.hasMoved = true;
    const earlier = this.progress.get(id);
    this.progress.delete(id); // the last one that moved is the last one of the map
    this.progress.set(id, earlier && !later.isReset ? joined(earlier, later) : later);
    const held = [...this.progress.values()].filter(({ messages }) => messages.length);
    if (held[0] && held.length > MOST_CONVERSATIONS) held[0].messages = [];
  }
}

/**
 * @param {Progress} earlier
 * @param {Progress} later
 * @returns {Progress}
 */
function joined(earlier, later) {
  const { cursor } = later;
  const messages = cursor === null ? [] : endingAt(cursor, [...earlier.messages, ...later.messages]);
  return { cursor, isReset: earlier.isReset, messages: messages.slice(-MOST_MESSAGES) };
}
