/** The stores in a page, for test_javascript_stores.py and test_javascript_persistence.py. */

import { Client, memoryStore } from "/modules/client/index.js";
import { indexedDbStore } from "/modules/client/indexeddb.js";
import * as contract from "/modules/tests/store_contract.mjs";

const ADDRESS = "https://chat.example.com";
let users = 0;

/** What makes the store of the next client, by kind; what the one before keeps is there. */
const kinds = {
  memory() {
    const store = memoryStore();
    return async () => store;
  },
  indexeddb() {
    const userId = `user${++users}`;
    let store;
    return async () => {
      await store?.close();
      return (store = indexedDbStore({ userId, address: ADDRESS }));
    };
  },
};

/**
 * @param {"memory" | "indexeddb"} kind
 * @param {string} name of a function of store_contract.mjs
 */
export const check = (kind, name) => contract[name](kinds[kind]());

/** How much of long and many conversations IndexedDB keeps: of how many there are messages, and how many of the last one. */
export async function bounds() {
  const next = kinds.indexeddb();
  const store = await next();
  await store.load();
  const cursors = {};
  for (let n = 0; n < 120; n++) {
    const id = `c${n}`;
    cursors[id] = n === 119 ? 450 : 1;
    const some = Array.from({ length: cursors[id] }, (_, at) => message(id, at + 1));
    await store.save({ cursors, generation: "g" }, some);
  }
  const later = await next();
  const kept = await Promise.all(Object.keys(cursors).map((id) => later.messages(id)));
  return { cursors: Object.keys((await later.load()).cursors).length, kept: kept.map(({ length }) => length) };
}

const message = (conversation_id, seq) => ({
  ...{ conversation_id, seq, message_id: String(seq).padStart(12, "0"), client_message_id: "k", sender: "ben", body: "text" },
  sent_at: "2026-01-31T12:00:00.000Z",
});

/** A tab of a user: `tab` is what the tests look at. */
export async function begin(port, userId = "ann") {
  const address = `http://127.0.0.1:${port}`;
  const store = indexedDbStore({ userId, address });
  const client = new Client({ urls: [address], token: "token", store });
  const tab = { store, client, shown: [], unsaved: [], kept: [], ended: "" };
  client.on("unsaved", ({ detail }) => tab.unsaved.push(detail));
  window.tab = tab;
  tab.kept = (await store.messages("c")).map(({ seq }) => seq);
  client.start();
  (async () => {
    for await (const { seq } of client.messages()) tab.shown.push(seq);
  })().catch((error) => (tab.ended = error.code));
}

/** All entries of one part of a user's database. */
export async function entries(port, part, userId = "ann") {
  const database = await opened(`holdfast ${userId} http://127.0.0.1:${port}`);
  try {
    return await asked(database.transaction([part]).objectStore(part).getAll());
  } finally {
    database.close();
  }
}

/** Put an entry that no client writes. */
export async function put(port, part, entry, userId = "ann") {
  const database = await opened(`holdfast ${userId} http://127.0.0.1:${port}`);
  await asked(database.transaction([part], "readwrite").objectStore(part).put(entry));
  database.close();
}

const opened = (name) => asked(indexedDB.open(name));
const asked = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
