/** The client's outbox as stable snapshots: of the whole, and of each conversation. */

/** @typedef {import("../client.js").Unsent} Unsent */
/** `queuedAt`: when the view saw it first. @typedef {Readonly<Unsent & { queuedAt: Date }>} UnsentView */

/** @type {readonly UnsentView[]} */
const NONE = Object.freeze([]);

export class UnsentViews {
  /** @type {Map<string, UnsentView>} by id */
  #entries = new Map();
  /** @type {Map<string, readonly UnsentView[]>} by conversation */
  #lists = new Map();
  /** @type {Set<string>} ids of sends that wait for their answer still, and whose message has come already */
  #arrived = new Set();
  /** @type {readonly UnsentView[]} */
  #all = NONE;
  #isStale = true;

  /** @param {{ readonly entries: Unsent[], discard(id: string): void }} outbox of the client */
  constructor(outbox) {
    this.outbox = outbox;
  }

  /** The outbox has changed. */
  invalidate() {
    this.#isStale = true;
  }

  /** Of one conversation, or of all. @param {string} [conversationId] */
  list(conversationId) {
    if (this.#isStale) this.#build();
    return conversationId === undefined ? this.#all : (this.#lists.get(conversationId) ?? NONE);
  }

  /**
   * A message of the user's own has come: its send is stored, be it answered or not.
   *
   * @param {string} conversationId
   * @param {string} clientMessageId
   */
  arrived(conversationId, clientMessageId) {
    const found = this.list(conversationId).find((each) => each.clientMessageId === clientMessageId);
    if (!found) return;
    this.#isStale = true;
    if (found.state === "failed") this.outbox.discard(found.id);
    else this.#arrived.add(found.id);
  }

  #build() {
    this.#isStale = false;
    const before = this.#entries;
    this.#entries = new Map(this.outbox.entries.map((entry) => [entry.id, entryView(entry, before.get(entry.id))]));
    for (const id of this.#arrived) if (!this.#entries.has(id)) this.#arrived.delete(id);
    const shown = [...this.#entries.values()].filter((each) => !this.#arrived.has(each.id));
    this.#all = same(this.#all, shown);
    /** @type {Map<string, UnsentView[]>} */
    const lists = new Map();
    for (const entry of this.#all) {
      const list = lists.get(entry.conversationId);
      if (list) list.push(entry);
      else lists.set(entry.conversationId, [entry]);
    }
    this.#lists = new Map([...lists].map(([id, list]) => [id, same(this.#lists.get(id) ?? NONE, list)]));
  }
}

/**
 * @param {Unsent} entry
 * @param {UnsentView | undefined} before
 * @returns {UnsentView}
 */
const entryView = (entry, before) =>
  before?.state === entry.state && before.error === entry.error
    ? before
    : Object.freeze({ ...entry, queuedAt: before?.queuedAt ?? new Date() });

/**
 * The list of before where it holds the same.
 *
 * @template T
 * @param {readonly T[]} before
 * @param {T[]} now
 * @returns {readonly T[]}
 */
const same = (before, now) =>
  before.length === now.length && before.every((each, at) => each === now[at]) ? before : Object.freeze(now);
