/**
 * One conversation as a window shows it.
 *
 * Messages are held by `seq`: the same one by another way changes nothing. A conversation that is loaded holds its newest
 * messages without a gap. One that is not loaded holds a short tail, so that nothing is missed while it is. A message of the user's
 * own enters with its `ack`, which may come before messages in front of it: these follow at once.
 */

/** @typedef {import("../frames.js").Message} Message */
/** @typedef {import("../rest.js").Conversation} Summary */
/**
 * @typedef {object} ConversationView
 * @property {string} id
 * @property {string | null} title
 * @property {readonly string[]} members the first ten where not all are known
 * @property {number} memberCount
 * @property {boolean} indicators receipts, typing and presence are shown
 * @property {Message | null} lastMessage the body may be cut to 200 characters; null where it is not known, or there is none
 * @property {number} lastSeq 0: no message
 * @property {number} readSeq up to which the user has read
 * @property {number} unread
 * @property {number} activeAt of the last message, or of the creation: milliseconds since 1970
 * @property {readonly string[]} typing the other users who type
 * @property {Readonly<Record<string, number>>} reads user -> seq up to which that user has read, as far as it is known
 * @property {readonly Message[]} messages ascending
 * @property {boolean} isLoaded `messages` has the newest ones; else `load` fetches them
 * @property {boolean} isLoading
 * @property {boolean} hasOlder there are messages before the first one of `messages`, for `loadOlder`
 */

const TAIL = 50; // messages of a conversation that is not loaded

export class Conversation {
  isKnown = false; // a summary has come
  wantsMembers = false; // those, their read cursors and presence are to be fetched
  isLoaded = false;
  isLoading = false;
  /** How often the store was restored under it: a page that was asked for before does not belong to it any more. */
  resets = 0;
  /** A summary of this revision, or a later one, is there to be fetched. */
  wantedRevision = 0;
  revision = -1;
  activeAt = 0;
  lastSeq = 0;
  /** @type {Message | null} */
  last = null;
  /** @type {string | null} */
  title = null;
  /** @type {readonly string[]} */
  members = [];
  memberCount = 0;
  indicators = true;
  /** @type {Message[]} */
  #messages = [];
  #beginsAt = 1; // the seq of the first message that the service has
  /** @type {Map<string, number>} */
  #reads = new Map();
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #typing = new Map();
  /** @type {ConversationView | null} */
  #view = null;
  /** @type {Partial<Pick<ConversationView, "messages" | "typing" | "reads">>} parts of the view that still hold */
  #parts = {};

  /**
   * @param {string} id
   * @param {{ readonly kept: number, invalidate(): void }} list that it is in; `kept`: messages while it is loaded
   */
  constructor(id, list) {
    this.id = id;
    this.list = list;
  }

  /** The same object until something changes. @param {string} userId @returns {ConversationView} */
  view(userId) {
    this.#parts.messages ??= Object.freeze([...this.#messages]);
    this.#parts.typing ??= Object.freeze([...this.#typing.keys()]);
    this.#parts.reads ??= Object.freeze(Object.fromEntries(this.#reads));
    const { id, title, members, memberCount, indicators, lastSeq, activeAt, isLoaded, isLoading, hasOlder } = this;
    const { messages, typing, reads } = this.#parts;
    const readSeq = this.readSeq(userId);
    return (this.#view ??= Object.freeze({
      ...{ id, title, members, memberCount, indicators, lastMessage: this.last, lastSeq, readSeq, activeAt },
      ...{ unread: Math.max(0, lastSeq - readSeq), typing, reads, messages, isLoaded, isLoading, hasOlder },
    }));
  }

  /** @param {"messages" | "typing" | "reads"} [part] that is made anew, too */
  changed(part) {
    this.#view = null;
    this.list.invalidate();
    if (part) delete this.#parts[part];
  }

  /** @param {string} userId */
  readSeq(userId) {
    return this.#reads.get(userId) ?? 0;
  }

  get firstSeq() {
    return this.#messages[0]?.seq ?? 0;
  }

  /** @returns {Message | undefined} */
  get newest() {
    return this.#messages.at(-1);
  }

  get hasOlder() {
    return this.firstSeq ? this.firstSeq > Math.max(1, this.#beginsAt) : this.lastSeq > 0;
  }

  get size() {
    return this.#messages.length;
  }

  /** The last message is not known. */
  get isBehind() {
    return this.lastSeq > (this.last?.seq ?? 0);
  }

  /** Something is to be fetched again. */
  get isStale() {
    return !this.isKnown || this.revision < this.wantedRevision;
  }

  /**
   * A summary, or the whole conversation. An older revision than ours brings nothing but reads.
   *
   * @param {Summary} summary
   * @param {string} userId
   */
  learn(summary, userId) {
    if (!this.isKnown || summary.revision >= this.revision) {
      const members = summary.members.map((/** @type {any} */ each) => each.user_id ?? each);
      const isMore = members.length >= Math.min(summary.member_count, this.members.length);
      if (!this.isKnown || isMore) this.members = Object.freeze(members);
      this.title = summary.title ?? null;
      this.revision = summary.revision;
      this.indicators = summary.indicators !== false;
      this.memberCount = summary.member_count;
    }
    this.isKnown = true;
    this.lastSeq = Math.max(this.lastSeq, summary.last_seq);
    this.activeAt = Math.max(this.activeAt, Date.parse(summary.last_message_at ?? summary.created_at) || 0);
    if (summary.last_message) this.preview({ ...summary.last_message, conversation_id: this.id });
    this.read(userId, summary.last_read_seq ?? 0);
    for (const { user_id, last_read_seq = 0 } of summary.members) if (user_id) this.read(user_id, last_read_seq);
    this.changed();
  }

  /** A message that is not older than what is held. @param {Message} message */
  add(message) {
    if (!this.#insert(message)) return;
    const most = this.isLoaded || this.isLoading ? this.list.kept : TAIL;
    if (this.#messages.length > most) {
      this.#messages.shift(); // one at a time: what a reader has scrolled to stays as long as it can
    }
  }

  /**
   * A page of history: one that ends with the newest message, or before the first one that is held.
   *
   * @param {import("../rest.js").History} page
   */
  addPage({ messages, has_more }) {
    for (const message of messages) this.#insert(message);
    if (!has_more) this.#beginsAt = messages[0]?.seq ?? this.firstSeq;
    this.changed();
  }

  /** A message of the user's own, with its `ack`; it is not held where it would leave a gap for good. @param {Message} message */
  acknowledge(message) {
    if (this.size ? message.seq > this.firstSeq : message.seq > this.lastSeq) this.add(message);
  }

  /** For its line in the list. @param {Message} message */
  preview(message) {
    this.lastSeq = Math.max(this.lastSeq, message.seq);
    if (!this.last || this.last.seq < message.seq) {
      this.last = message;
      this.activeAt = Math.max(this.activeAt, Date.parse(message.sent_at) || 0);
    }
    this.changed();
  }

  /** Forward only; the user's own messages that follow are read with it. @param {string} userId @param {number} seq */
  read(userId, seq) {
    if (seq <= this.readSeq(userId)) return;
    this.#setRead(userId, seq);
  }

  /** As the service has it: a `read` that was lost is to be sent again. @param {string} userId @param {number} seq */
  confirmRead(userId, seq) {
    if (seq !== this.readSeq(userId)) this.#setRead(userId, seq);
  }

  /**
   * @param {string} userId
   * @param {number} ms that it lasts; 0: no more
   * @param {() => void} over called when it has lasted
   */
  type(userId, ms, over) {
    clearTimeout(this.#typing.get(userId));
    if (ms) {
      const ended = () => (this.type(userId, 0, over), over());
      this.#typing.set(userId, setTimeout(ended, ms));
    } else if (!this.#typing.delete(userId)) return;
    this.changed("typing");
  }

  /** Typing notices of a connection that has ended are over. */
  forgetTyping() {
    for (const timer of this.#typing.values()) clearTimeout(timer);
    this.#typing.clear();
    this.changed("typing");
  }

  /** Another conversation is shown: its tail is enough. */
  unload() {
    this.isLoaded = false;
    this.#messages = this.#messages.slice(-TAIL);
    this.changed("messages");
  }

  /** The store was restored, and ends there. @param {number} lastSeq */
  reset(lastSeq) {
    this.#messages = [];
    this.last = null;
    this.lastSeq = lastSeq;
    this.isLoaded = false;
    this.resets++;
    for (const [user, seq] of this.#reads) this.#reads.set(user, Math.min(seq, lastSeq));
    this.changed("messages");
    this.changed("reads");
  }

  /** Whether it was not held. @param {Message} message */
  #insert(message) {
    const messages = this.#messages;
    let place = messages.length;
    while (place > 0 && at(messages, place - 1).seq > message.seq) place--;
    if (place > 0 && at(messages, place - 1).seq === message.seq) return false;
    messages.splice(place, 0, Object.freeze(message));
    this.preview(message);
    if (this.readSeq(message.sender) === message.seq - 1) this.read(message.sender, message.seq);
    this.changed("messages");
    return true;
  }

  /** @param {string} userId @param {number} seq */
  #setRead(userId, seq) {
    let reached = seq;
    let place = this.#messages.findLastIndex((each) => each.seq <= seq);
    while (this.#messages[++place]?.seq === reached + 1 && at(this.#messages, place).sender === userId) reached++;
    this.#reads.set(userId, reached);
    this.changed("reads");
  }
}

/** @param {Message[]} messages @param {number} place */
const at = (messages, place) => /** @type {Message} */ (messages[place]);
