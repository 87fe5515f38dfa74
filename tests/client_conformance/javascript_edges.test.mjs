/** The JavaScript client at moments that no script of a server brings about: `node --test`; test_javascript_edges.py runs it. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Client, ClientStopped, memoryStore, RestFailed, SendFailed } from "../../clients/javascript/src/index.js";

const LIMITS = { body_bytes: 16384, metadata_bytes: 4096, frame_bytes: 131072, cursors: 1000, replay_messages: 500, page_size: 200 };
const WELCOME = { type: "welcome", protocol: "holdfast.v1", user_id: "ann", connection_id: "k", instance_id: "i", keepalive_ms: 20000, limits: LIMITS };
const SYNCED = { type: "synced", heads: {}, read_seqs: {}, revisions: {} };

/** A socket in the hand of the test. */
class FakeSocket {
  static all = [];
  readyState = 1;
  sent = [];
  constructor() {
    FakeSocket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
    this.onclose?.({ code: 1000 });
  }
  say(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const turns = async (count = 10) => {
  for (let at = 0; at < count; at++) await turn();
};
const message = (seq) => ({
  ...{ type: "message", conversation_id: "c", seq, message_id: String(seq).padStart(12, "0"), client_message_id: `k${seq}` },
  ...{ sender: "ben", body: "text", sent_at: "2026-01-31T12:00:00.000Z" },
});
const client = (more = {}) => new Client({ urls: ["http://a.example", "http://b.example"], token: "token", cursors: {}, ...more });

/** A client that is open, with these messages to take. */
async function opened(more, seqs = []) {
  const made = client(more).start();
  await turns();
  const socket = FakeSocket.all.at(-1);
  socket.say(WELCOME);
  await turns();
  for (const seq of seqs) socket.say(message(seq));
  socket.say({ ...SYNCED, heads: seqs.length ? { c: seqs.at(-1) } : {} });
  await turns();
  assert.equal(made.state.name, "open");
  return { made, socket };
}

beforeEach(() => {
  FakeSocket.all = [];
  globalThis.WebSocket = FakeSocket;
});
afterEach(() => mock.reset());

test("a listener that closes the client while it connects leaves no socket", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const made = client();
  let connecting = 0;
  made.on("state", ({ state }) => state.name === "connecting" && ++connecting === 2 && made.close());
  made.start();
  await turns();
  FakeSocket.all[0].onclose({ code: 1006 });
  await turns();
  mock.timers.tick(60_000);
  await turns();
  assert.equal(connecting, 2);
  assert.equal(FakeSocket.all.length, 1);
});

test("a client that is closed just after the welcome closes its socket", async () => {
  const made = client().start();
  await turns();
  FakeSocket.all[0].say(WELCOME);
  await made.close();
  await turns();
  assert.equal(FakeSocket.all[0].readyState, 3);
});

test("a message that a loop was left at is the first of the next loop", async () => {
  const { made } = await opened({}, [1, 2, 3]);
  await assert.rejects(async () => {
    for await (const { seq } of made.messages()) if (seq === 2) throw new Error("the application failed");
  }, /the application failed/);
  assert.deepEqual(made.cursors, { c: 1 });
  const shown = [];
  for await (const { seq } of made.messages()) if (shown.push(seq) === 2) break;
  assert.deepEqual(shown, [2, 3]);
  assert.deepEqual(made.cursors, { c: 2 });
  await made.close();
});

test("a loop that waits when it is left takes no message", async () => {
  const { made, socket } = await opened();
  const left = made.messages();
  const waiting = left.next();
  await left.return();
  assert.deepEqual(await waiting, { done: true, value: undefined });
  socket.say(message(1));
  assert.equal((await made.messages().next()).value.seq, 1);
  await made.close();
});

test("a second loop ends the first", async () => {
  const { made, socket } = await opened();
  const first = made.messages().next();
  const second = made.messages().next();
  socket.say(message(1));
  assert.deepEqual(await first, { done: true, value: undefined });
  assert.equal((await second).value.seq, 1);
  await made.close();
});

test("a store that hangs while it saves does not keep the client from ending", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { made } = await opened({ store: { load: async () => null, save: () => new Promise(() => {}) } });
  const unsaved = [];
  made.on("unsaved", ({ detail }) => unsaved.push(detail));
  const closing = made.close();
  for (let at = 0; at < 3; at++) {
    await turns();
    mock.timers.tick(10_000);
  }
  await closing;
  assert.equal(unsaved.at(-1), "TimeoutError");
});

test("a store that hangs while it loads ends the client", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const made = client({ cursors: undefined, store: { load: () => new Promise(() => {}), save: async () => {} } }).start();
  await turns();
  mock.timers.tick(10_000);
  await turns();
  assert.equal(made.state.reason.code, "store_failed");
});

test("a client that ended while its store loaded asks for no token", async () => {
  let asked = 0;
  let loaded;
  const load = () => new Promise((resolve) => (loaded = resolve));
  const made = client({ cursors: undefined, store: { load, save: async () => {} }, token: () => `token${++asked}` }).start();
  await made.close();
  loaded(null);
  await turns();
  assert.equal(asked, 0);
});

test("a client that has ended has no connection to wait for", async () => {
  const { made } = await opened();
  await made.connected();
  await made.close();
  await assert.rejects(made.connected(), ClientStopped);
});

test("a failed send that nobody awaits does not end the process", async () => {
  const unhandled = [];
  const listener = (error) => unhandled.push(error);
  process.on("unhandledRejection", listener);
  const { made } = await opened();
  made.send("c", "text");
  const [{ id }] = made.outbox.entries;
  made.outbox.discard(id);
  made.send("c", "text");
  await made.close();
  await turns();
  process.off("unhandledRejection", listener);
  assert.deepEqual(unhandled, []);
  assert.equal(made.outbox.entries.length, 1);
});

test("a send is not retried when the store may have forgotten its first attempt", async () => {
  const { made, socket } = await opened();
  const failed = made.send("c", "text");
  const { ref } = socket.sent.find(({ type }) => type === "send");
  socket.say({ type: "error", ref, code: "forbidden", detail: "no", retryable: false });
  await assert.rejects(failed, SendFailed);
  const [{ id }] = made.outbox.entries;
  const { now } = Date;
  mock.method(Date, "now", () => now() + 6 * 24 * 3_600_000 + 1);
  await assert.rejects(made.outbox.retry(id), { code: "expired", outcome: "unknown", retryable: false });
  await made.close();
});

/** The sends that were written to the last socket, by their ids. */
const written = () => FakeSocket.all.at(-1).sent.filter(({ type }) => type === "send").map(({ client_message_id }) => client_message_id);

test("a send that a closed client left is sent by the next one, under the same id", async () => {
  const store = memoryStore();
  const { made } = await opened({ store });
  await assert.rejects(Promise.all([made.send("c", "text", { clientMessageId: "k" }), made.close()]), SendFailed);
  const { made: next, socket } = await opened({ store, cursors: undefined });
  await turns();
  assert.deepEqual(written(), ["k"]);
  assert.equal(next.outbox.entries[0].state, "waiting");
  socket.say({ type: "ack", conversation_id: "c", client_message_id: "k", seq: 1 });
  await next.close();
  assert.deepEqual((await opened({ store, cursors: undefined })).made.outbox.entries, []);
});

test("a send that failed has failed for the next client too, and is not sent by itself", async () => {
  const store = memoryStore();
  const { made, socket } = await opened({ store });
  const failed = made.send("c", "text", { clientMessageId: "k" });
  const { ref } = socket.sent.find(({ type }) => type === "send");
  socket.say({ type: "error", ref, code: "forbidden", detail: "no", retryable: false });
  await assert.rejects(failed, { code: "forbidden" });
  await made.close();
  const { made: next } = await opened({ store, cursors: undefined });
  const [{ id, state, error }] = next.outbox.entries;
  assert.deepEqual([state, error.code, error.outcome, error.retryable], ["failed", "forbidden", "refused", false]);
  assert.ok(error instanceof SendFailed);
  assert.deepEqual(written(), []);
  next.outbox.retry(id);
  assert.deepEqual(written(), ["k"]);
  await next.close();
});

test("a send that was left more than a day ago is not sent by itself, and after six days not at all", async () => {
  const store = memoryStore();
  const { made } = await opened({ store });
  made.send("c", "text", { clientMessageId: "k" });
  await made.close();
  const { now } = Date;
  const later = (days) => mock.method(Date, "now", () => now() + days * 24 * 3_600_000);
  later(1.1);
  const { made: next } = await opened({ store, cursors: undefined });
  assert.deepEqual(written(), []);
  assert.equal(next.outbox.entries[0].error.outcome, "unknown");
  later(6.1);
  await assert.rejects(next.outbox.retry(next.outbox.entries[0].id), { code: "expired" });
  await next.close();
});

test("sends of another user are not sent", async () => {
  const store = memoryStore();
  const { made } = await opened({ store });
  made.send("c", "text");
  await made.close();
  const next = client({ store: { ...store, userId: "ben" }, cursors: undefined }).start();
  await turns();
  FakeSocket.all.at(-1).say(WELCOME);
  await turns();
  assert.equal(next.state.reason.code, "store_failed");
  assert.deepEqual(written(), []);
  assert.equal(FakeSocket.all.at(-1).readyState, 3);
});

test("a position that could not be loaded is not overwritten", async () => {
  const saved = [];
  const failing = { load: () => Promise.reject(new Error("no")), save: async (position) => saved.push(position) };
  const made = client({ cursors: undefined, store: failing }).start();
  made.send("c", "text");
  await turns();
  assert.equal(made.state.reason.code, "store_failed");
  assert.deepEqual(saved, []);
});

test("a client that is stopped by the service does not listen to the page any more", async () => {
  let signal;
  globalThis.addEventListener = (_type, _listener, options) => ({ signal } = options);
  const made = client().start();
  delete globalThis.addEventListener;
  await turns();
  FakeSocket.all[0].onclose({ code: 4502 });
  await turns();
  assert.equal(made.state.name, "stopped");
  assert.equal(signal.aborted, true);
});

/** Calls of REST are answered by these in turn; returns what was asked. */
function answering(...answers) {
  const asked = [];
  mock.method(globalThis, "fetch", async (url, { body }) => {
    asked.push({ url: String(url), body: body && JSON.parse(body) });
    const { status = 200, cause, ...answer } = answers.shift();
    if (!status) throw new TypeError("fetch failed", { cause });
    return new Response(status === 204 ? null : JSON.stringify(answer), { status });
  });
  return asked;
}
const NOT_FOUND = { status: 404, type: "urn:holdfast:problem:conversation_not_found", code: "conversation_not_found", detail: "no", retryable: false };

test("a call goes to the next address where the first has no answer", async () => {
  const asked = answering({ status: 0 }, { conversation_id: "c" });
  await client().rest.conversation("c");
  assert.deepEqual(asked.map(({ url }) => new URL(url).host), ["a.example", "b.example"]);
});

test("a conversation without an id of the application has one, and is created once", async () => {
  const asked = answering({ status: 0 }, { conversation_id: "c" });
  await client().rest.create(["ben"]);
  assert.match(asked[0].body.conversation_id, /^[0-9a-f]{32}$/);
  assert.deepEqual(asked[0].body, asked[1].body);
});

test("a call that may do something twice is not repeated", async () => {
  const asked = answering({ status: 0 });
  await assert.rejects(client().rest.call("POST", "/something", {}), { code: "unreachable" });
  assert.equal(asked.length, 1);
});

test("a user who left and lost the answer has left", async () => {
  const { made } = await opened();
  answering({ status: 0 }, NOT_FOUND);
  assert.equal(await made.rest.removeMember("c", "ann"), null);
  answering({ status: 502 }, NOT_FOUND);
  assert.equal(await made.rest.removeMember("c", "ann"), null);
  answering(NOT_FOUND);
  await assert.rejects(made.rest.removeMember("c", "ann"), { code: "conversation_not_found" });
  await made.close();
});

test("a removal that was not carried out is not reported as done", async () => {
  const { made } = await opened();
  answering({ status: 0 }, NOT_FOUND);
  await assert.rejects(made.rest.removeMember("c", "ben"), { code: "conversation_not_found" }, "ann is no member");
  for (const code of ["ECONNREFUSED", "ENOTFOUND", "UND_ERR_CONNECT_TIMEOUT"]) {
    answering({ status: 0, cause: { code } }, NOT_FOUND);
    await assert.rejects(made.rest.removeMember("c", "ann"), { code: "conversation_not_found", name: "RestFailed" }, code);
  }
  await made.close();
  answering({ status: 0 }, NOT_FOUND);
  await assert.rejects(client().rest.removeMember("c", "ann"), { code: "conversation_not_found" }, "whose client it is, is not known");
});

test("metadata that JSON does not know is not asked for", async () => {
  const asked = answering();
  await assert.rejects(client().rest.create(["ben"], { metadata: { at: new Date() } }), RestFailed);
  assert.equal(asked.length, 0);
});

test("a device that loses its network gives its connection up at once, and connects when it is back", async () => {
  const target = new EventTarget();
  globalThis.addEventListener = target.addEventListener.bind(target);
  try {
    const { made, socket } = await opened();
    target.dispatchEvent(new Event("offline"));
    await turns();
    assert.equal(socket.readyState, 3);
    assert.equal(made.state.name, "waiting");
    target.dispatchEvent(new Event("online"));
    await turns();
    assert.equal(FakeSocket.all.length, 2);
    await made.close();
  } finally {
    delete globalThis.addEventListener;
  }
});

test("the application is told of the frames that a connection begins with", async () => {
  const made = client();
  const told = [];
  made.on("*", ({ type }) => told.push(type));
  made.start();
  await turns();
  FakeSocket.all.at(-1).say({ ...WELCOME, degraded: ["redis"] });
  await turns();
  FakeSocket.all.at(-1).say(SYNCED);
  await turns();
  assert.deepEqual(told, ["state", "welcome", "state", "state", "synced", "connected"]);
  await made.close();
});
