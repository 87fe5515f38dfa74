/**
 * The client's rule: each message of each conversation is shown once, in order, however often and by whatever way it arrives.
 *
 * Pure: frames in, messages to show and ranges to fetch out. Two connections may feed it at once (while one is about to end), and a
 * page of REST is offered like everything else. A late frame of the second connection that repeats one of the first is recognized
 * by its revision. A conversation that began after the second connection's `hello` is kept, although that connection does not list
 * it.
 */

/** @typedef {import("./frames.js").Synced} Synced */
/** @typedef {import("./frames.js").ConversationNotice} ConversationNotice */

const MAX_LEFT = 1_000; // conversations that were left since the last `hello`

export class Streams {
  /** @type {Map<string, number>} conversation -> seq up to which it has to be fetched, because what lies between did not come */
  wanted = new Map();
  #hellos = 0;
  /** @type {Map<string, number>} conversation -> how many hellos were said before it began */
  #begun = new Map();
  /** @type {Map<string, number>} conversation -> the newest revision at which the user is known as a member */
  #revisions = new Map();
  /** @type {Map<string, number>} conversation -> the revision at which the user was removed */
  #left = new Map();

  /**
   * @param {Map<string, number> | null} cursors conversation -> seq of the last message shown; null until the first `synced` of a
   *   client that starts with what is new
   * @param {string} generation of the store that the cursors are of; "" while it is not known
   */
  constructor(cursors, generation) {
    this.cursors = cursors;
    this.generation = generation;
  }

  /** A `hello` is about to be said with the cursors as they are; returns its number, from 1. */
  greet() {
    this.#left.clear(); // the answer knows of these removals
    return ++this.#hellos;
  }

  /** @param {string} id */
  cursor(id) {
    return this.cursors?.get(id) ?? 0;
  }

  /**
   * Whether to show a message now. `hasRoom`: false when its reader is behind; then it is fetched again later.
   *
   * @param {{ conversation_id: string, seq: number }} frame
   * @param {boolean} hasRoom
   */
  offer({ conversation_id: id, seq }, hasRoom) {
    if (!this.cursors || !this.#begin(id, seq - 1)) return false;
    const cursor = this.cursor(id);
    if (seq <= cursor) return false;
    if (seq > cursor + 1 || !hasRoom) {
      this.#want(id, seq);
      return false;
    }
    this.cursors.set(id, seq);
    if ((this.wanted.get(id) ?? 0) <= seq) this.wanted.delete(id);
    return true;
  }

  /**
   * The messages between the cursor and `toSeq` have to be fetched; without a cursor, from `fromSeq` on.
   *
   * @param {string} id
   * @param {number} fromSeq
   * @param {number} toSeq
   */
  truncated(id, fromSeq, toSeq) {
    if (this.cursors && this.#begin(id, fromSeq - 1)) this.#want(id, toSeq);
  }

  /** Nothing more of this conversation can be fetched: it is not ours any more. @param {string} id */
  giveUp(id) {
    for (const known of [this.wanted, this.#begun, this.#revisions, this.cursors]) known?.delete(id);
  }

  /** Another one once the user is known to have been added again: an answer about the earlier one is void. @param {string} id */
  membership(id) {
    return `${this.#begun.get(id) ?? 0} ${this.#revisions.get(id) ?? 0}`;
  }

  /** The store ends where the cursor is: nothing is to be fetched there. @param {string} id */
  exhausted(id) {
    this.wanted.delete(id);
  }

  /**
   * The store ends earlier than our cursor: go on from its end.
   *
   * @param {string} id
   * @param {number} lastSeq
   */
  reset(id, lastSeq) {
    this.wanted.delete(id);
    this.#revisions.delete(id);
    this.cursors?.set(id, lastSeq);
  }

  /**
   * Replay is over: a conversation without a cursor starts at its head; one that is not listed is not ours any more.
   *
   * @param {Synced} frame
   * @param {number} hello the number of the `hello` that it answers: conversations that began later cannot be listed
   * @param {string[]} leftOut conversations whose cursors were not in that `hello`: one beyond the head is compared with the store
   */
  synced(frame, hello, leftOut) {
    const cursors = (this.cursors ??= new Map());
    const heads = new Map(Object.entries(frame.heads));
    const revisions = new Map(Object.entries(frame.revisions));
    for (const [id, head] of heads) {
      if (this.#begin(id, head)) this.#learn(id, revisions.get(id) ?? 0);
    }
    for (const id of [...cursors.keys()]) {
      if (!heads.has(id) && (this.#begun.get(id) ?? 0) < hello) this.giveUp(id);
    }
    for (const id of leftOut) {
      const cursor = this.cursor(id);
      if ((heads.get(id) ?? cursor) < cursor) this.#want(id, cursor + 1);
    }
  }

  /**
   * A conversation begins, or ends, for this user. Live starts after the `last_seq` that the notice names.
   *
   * @param {ConversationNotice} frame
   * @param {string} userId
   */
  changed({ conversation_id: id, revision, event, user_id, conversation }, userId) {
    if (!this.cursors) return;
    const isAboutUs = event === "created" || user_id === userId;
    if (event === "member_removed" && isAboutUs) {
      if (revision <= (this.#revisions.get(id) ?? 0)) return;
      this.giveUp(id);
      this.#leave(id, revision);
    } else if (conversation && revision > (this.#left.get(id) ?? -1)) {
      this.#left.delete(id);
      this.#begin(id, conversation.last_seq);
      if (isAboutUs) this.#learn(id, revision);
    }
  }

  /**
   * Start there unless it has begun; false where the user was removed and not added again.
   *
   * @param {string} id
   * @param {number} cursor
   */
  #begin(id, cursor) {
    if (this.#left.has(id)) return false;
    if (!this.cursors?.has(id)) {
      this.cursors?.set(id, Math.max(0, cursor));
      this.#begun.set(id, this.#hellos);
    }
    return true;
  }

  /**
   * @param {string} id
   * @param {number} revision
   */
  #learn(id, revision) {
    this.#revisions.set(id, Math.max(revision, this.#revisions.get(id) ?? 0));
  }

  /**
   * @param {string} id
   * @param {number} revision
   */
  #leave(id, revision) {
    this.#left.set(id, revision);
    if (this.#left.size > MAX_LEFT) this.#left.delete(/** @type {string} */ (this.#left.keys().next().value));
  }

  /**
   * @param {string} id
   * @param {number} upto
   */
  #want(id, upto) {
    if (this.cursor(id) < upto) this.wanted.set(id, Math.max(upto, this.wanted.get(id) ?? 0));
  }
}
