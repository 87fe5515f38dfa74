/** The database of one user in this browser: its layout, and what is done with it in one transaction each. */

import { checkedCursors } from "./checks.js";
import { isMessage } from "./frames.js";
import { endingAt } from "./store.js";
import { MOST_CONVERSATIONS, MOST_MESSAGES } from "./unwritten.js";
import { within } from "./waiting.js";

/** @typedef {import("./frames.js").Message} Message */
/** @typedef {import("./store.js").KeptSend} KeptSend */
/** @typedef {import("./store.js").Position} Position */
/** @typedef {import("./unwritten.js").Progress} Progress */
/** `keptAt`: when a message was kept last; absent where none is. */
/** @typedef {{ id: string, cursor: number, keptAt?: number }} Row */

const VERSION = 1; // an upgrade may drop `messages`, and has to keep `sends`
const OPEN_MS = 5_000; // a browser may never answer
const CLEAR_MS = 10_000;
const GENERATION = "generation";

/** Opened when it is needed, and again where the browser closed it. Each method throws what IndexedDB says. */
export class Database {
  /** Entries that no client of this version can have written. */
  dropped = 0;
  /** @type {Promise<IDBDatabase> | null} */
  #opening = null;
  /** It was removed, or has a newer layout: it is not opened again. */
  isGone = false;

  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }

  /** null where nothing was kept. A conversation with a damaged entry is dropped: it is replayed from its beginning. */
  async load() {
    const [rows, generation] = await this.#read(["conversations", "meta"], (open) =>
      Promise.all([asked(open("conversations").getAll()), asked(open("meta").get(GENERATION))]),
    );
    /** @type {Record<string, number>} */
    const cursors = {};
    for (const row of rows) {
      if (isRow(row)) cursors[row.id] = row.cursor;
      else await this.#drop("conversations", row.id);
    }
    return generation === undefined && !rows.length ? null : { cursors, generation: typeof generation === "string" ? generation : "" };
  }

  /**
   * The newest up to the cursor, without a gap; empty where that one is not kept.
   *
   * @param {string} id
   * @param {number} cursor
   */
  async messages(id, cursor) {
    const range = IDBKeyRange.bound([id, 0], [id, cursor]);
    /** @type {unknown[]} */
    const entries = await this.#read(["messages"], (open) => asked(open("messages").getAll(range)));
    this.dropped += entries.filter((each) => !isMessage(each)).length;
    return endingAt(cursor, entries.filter(isMessage));
  }

  /**
   * All of it, or nothing.
   *
   * Another tab may have written since this one knew of it: a conversation that is further already stays as it is. What is kept of
   * one never has a gap: messages that do not follow replace those before.
   *
   * @param {import("./unwritten.js").Unwritten} unwritten
   * @param {string} tab whose sends they are
   */
  async write({ position, progress, sends, hasMoved }, tab) {
    await this.#change(["conversations", "messages", "meta", "sends"], async (open) => {
      for (const [id, send] of sends) send ? open("sends").put({ tab, id, ...send }) : open("sends").delete([tab, id]);
      if (!position || !hasMoved) return;
      const before = await asked(open("meta").get(GENERATION));
      const isOther = Boolean(before && position.generation && before !== position.generation);
      if (isOther) for (const store of ["conversations", "messages"]) open(store).clear();
      open("meta").put(position.generation, GENERATION);
      if (isOther) for (const [id, cursor] of Object.entries(position.cursors)) open("conversations").put({ id, cursor });
      else for (const [id, each] of progress) await advance(open, id, each);
      await forgetOldest(open);
    });
  }

  /** Tabs that have sends. */
  async tabs() {
    /** @type {any[]} */
    const keys = await this.#read(["sends"], (open) => asked(open("sends").getAllKeys()));
    return [...new Set(keys.map(([tab]) => String(tab)))];
  }

  /**
   * Give the sends of these tabs to this one, in the order in which they were queued. What is no send is dropped.
   *
   * @param {string[]} from
   * @param {string} to
   * @returns {Promise<KeptSend[]>}
   */
  adopt(from, to) {
    return this.#change(["sends"], async (open) => {
      const sends = [];
      for (const tab of from) {
        const range = IDBKeyRange.bound([tab], [tab, []]);
        for (const entry of await asked(open("sends").getAll(range))) {
          if (isSend(entry)) sends.push(entry);
          else this.dropped++;
        }
        open("sends").delete(range);
      }
      sends.sort((one, other) => one.draft.addedAt - other.draft.addedAt);
      for (const { draft, error } of sends) open("sends").put({ tab: to, id: draft.ref, draft, error });
      return sends.map(({ draft, error }) => ({ draft, error }));
    });
  }

  /** Make room: messages can be had from the service again. */
  async forgetMessages() {
    await this.#change(["messages"], async (open) => void open("messages").clear());
  }

  /** Remove everything; other tabs of the user keep nothing any more. Throws TimeoutError: one of them does not let go. */
  async clear() {
    if (!globalThis.indexedDB) return;
    if (!this.isGone) {
      await this.#change(["conversations", "messages", "meta", "sends"], async (open, names) => {
        for (const name of names) open(name).clear();
      });
    }
    this.isGone = true;
    await this.close();
    await within(asked(indexedDB.deleteDatabase(this.name)), CLEAR_MS);
  }

  throwIfGone() {
    if (this.isGone) throw new DOMException("the user's data was removed", "InvalidStateError");
  }

  /** It opens again where it is needed. */
  async close() {
    const opening = this.#opening;
    this.#opening = null;
    (await opening?.catch(() => null))?.close();
  }

  /**
   * @param {string} store
   * @param {IDBValidKey} key
   */
  async #drop(store, key) {
    this.dropped++;
    await this.#change([store], async (open) => void open(store).delete(key));
  }

  /**
   * @template T
   * @param {string[]} names
   * @param {(open: (name: string) => IDBObjectStore, names: string[]) => Promise<T>} work
   */
  #read(names, work) {
    return this.#transaction(names, "readonly", work);
  }

  /**
   * @template T
   * @param {string[]} names
   * @param {(open: (name: string) => IDBObjectStore, names: string[]) => Promise<T>} work
   */
  #change(names, work) {
    return this.#transaction(names, "readwrite", work);
  }

  /**
   * Everything that `work` asks for, or nothing: it may wait for nothing but requests of the transaction.
   *
   * @template T
   * @param {string[]} names
   * @param {IDBTransactionMode} mode
   * @param {(open: (name: string) => IDBObjectStore, names: string[]) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #transaction(names, mode, work) {
    const transaction = (await this.#open()).transaction(names, mode);
    const ended = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new DOMException("given up", "AbortError"));
    });
    ended.catch(() => {}); // where the work fails first
    try {
      const result = await work((name) => transaction.objectStore(name), names);
      await ended;
      return result;
    } catch (error) {
      if (transaction.error === null) giveUp(transaction);
      throw transaction.error ?? error;
    }
  }

  /** @returns {Promise<IDBDatabase>} */
  async #open() {
    this.throwIfGone();
    const opening = (this.#opening ??= opened(this.name));
    try {
      const database = await opening;
      database.onclose = () => (this.#opening = null);
      database.onversionchange = () => {
        this.isGone = true; // another tab has removed it, or has a newer layout
        database.close();
      };
      return database;
    } catch (error) {
      this.#opening = null;
      throw error;
    }
  }
}

/**
 * @param {string} name
 * @returns {Promise<IDBDatabase>}
 */
async function opened(name) {
  if (!globalThis.indexedDB) throw new DOMException("no IndexedDB here", "NotSupportedError");
  const request = indexedDB.open(name, VERSION);
  request.onupgradeneeded = () => {
    const database = request.result;
    database.createObjectStore("meta");
    database.createObjectStore("conversations", { keyPath: "id" }).createIndex("keptAt", "keptAt");
    database.createObjectStore("messages", { keyPath: ["conversation_id", "seq"] });
    database.createObjectStore("sends", { keyPath: ["tab", "id"] });
  };
  const opening = asked(request);
  try {
    return await within(opening, OPEN_MS);
  } catch (error) {
    opening.then((late) => late.close()).catch(() => {});
    throw error;
  }
}

/**
 * One conversation, as far as this tab is further than what is kept.
 *
 * @param {(name: string) => IDBObjectStore} open
 * @param {string} id
 * @param {Progress} progress
 */
async function advance(open, id, { cursor, isReset, messages }) {
  const all = IDBKeyRange.bound([id], [id, []]);
  /** @type {Row | undefined} */
  const row = isReset ? undefined : await asked(open("conversations").get(id));
  if (cursor === null) {
    open("messages").delete(all);
    open("conversations").delete(id);
    return;
  }
  const known = row && isRow(row) ? row.cursor : -1;
  if (cursor <= known) return;
  const fresh = messages.filter(({ seq }) => seq > known);
  if (fresh[0]?.seq !== known + 1) open("messages").delete(all);
  for (const message of fresh) open("messages").put(message);
  if (cursor > MOST_MESSAGES) open("messages").delete(IDBKeyRange.bound([id], [id, cursor - MOST_MESSAGES]));
  open("conversations").put({ id, cursor, ...(fresh.length && { keptAt: Date.now() }) });
}

/** @param {(name: string) => IDBObjectStore} open */
async function forgetOldest(open) {
  const index = open("conversations").index("keptAt");
  let excess = (await asked(index.count())) - MOST_CONVERSATIONS;
  while (excess-- > 0) {
    /** @type {Row | undefined} */
    const row = await asked(index.get(IDBKeyRange.lowerBound(-Infinity)));
    if (!row) return;
    open("messages").delete(IDBKeyRange.bound([row.id], [row.id, []]));
    open("conversations").put({ id: row.id, cursor: row.cursor });
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function asked(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransaction} transaction */
function giveUp(transaction) {
  try {
    transaction.abort();
  } catch {
    // it has ended already
  }
}

/** @param {any} row @returns {row is Row} */
function isRow(row) {
  try {
    return checkedCursors({ [row.id]: row.cursor }) !== null;
  } catch {
    return false;
  }
}

/** @param {any} entry @returns {entry is KeptSend} */
function isSend(entry) {
  const { draft, error } = entry;
  if (typeof draft !== "object" || draft === null) return false;
  const texts = [draft.ref, draft.conversationId, draft.clientMessageId, draft.body, draft.text];
  const sizes = [draft.frameBytes, draft.bodyBytes, draft.metadataBytes, draft.addedAt];
  const isWhole = texts.every((each) => typeof each === "string") && sizes.every(Number.isFinite);
  return isWhole && (error === null || typeof error?.code === "string");
}
