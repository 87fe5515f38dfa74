/** ChatView above the JavaScript client: `node --test`; test_javascript_edges.py runs it. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Client, RestFailed, SendFailed } from "../../clients/javascript/src/index.js";
import { ChatView } from "../../clients/javascript/src/view/index.js";
import { FakeService, message, page, refused, summary, turns, unavailable } from "./fake_service.mjs";

let service;

const list = (...summaries) => ({ conversations: summaries, next_cursor: null });
const client = () => new Client({ urls: ["http://a.example"], token: "token" });

/** A view of Ann's, connected, with these conversations. */
async function opened(summaries = [summary("c")], { options, more } = {}) {
  const view = new ChatView(client(), options).start();
  service.heads = Object.fromEntries(summaries.map((each) => [each.conversation_id, each.last_seq]));
  service.answers.set("GET /conversations", list(...summaries));
  service.answers.set("GET /users/ben/presence", { online: true, last_seen_at: null });
  const read_seqs = Object.fromEntries(summaries.map((each) => [each.conversation_id, each.last_read_seq]));
  await service.open({ synced: { read_seqs, ...more }, ...more });
  return view;
}

/** The same, with `c` loaded: messages 1 to `count`. */
async function loaded(count, options) {
  const view = await opened([summary("c", { last_seq: count })], { options });
  service.answers.set("GET /conversations/c", summary("c", { last_seq: count, members: [{ user_id: "ann" }, { user_id: "ben" }] }));
  service.answers.set("GET /conversations/c/messages", page(Math.max(1, count - 49), count));
  await view.load("c");
  return view;
}

const say = (seq, more) => service.say({ type: "message", ...message(seq, more) });
const seqs = (view, id = "c") => view.conversation(id).messages.map((each) => each.seq);
const range = (first, last) => Array.from({ length: last - first + 1 }, (_, at) => first + at);
const ack = ({ ref, conversation_id, client_message_id }, seq) =>
  service.say({
    ...{ type: "ack", ref, conversation_id, client_message_id, message_id: String(seq).padStart(12, "0"), seq },
    ...{ sent_at: "2026-02-01T12:00:00.000Z", duplicate: false },
  });

beforeEach(() => {
  service = new FakeService();
});
afterEach(() => mock.reset());

test("a view of a client that was started before is refused: it would not know what came before", async () => {
  const started = client().start();
  assert.throws(() => new ChatView(started), TypeError);
  await started.close();
});

test("a snapshot stays the same object until something in it changes", async () => {
  const view = await opened([summary("c"), summary("d")]);
  const before = { all: view.conversations(), c: view.conversation("c"), d: view.conversation("d"), connection: view.connection() };
  assert.deepEqual(before.all, [before.c, before.d]);
  assert.equal(view.conversations(), before.all);
  assert.equal(view.outbox(), view.outbox());
  assert.equal(view.outbox("c"), view.outbox("c"));
  say(1);
  await turns();
  assert.notEqual(view.conversations(), before.all);
  assert.notEqual(view.conversation("c"), before.c);
  assert.equal(view.conversation("c").members, before.c.members);
  assert.equal(view.conversation("d"), before.d);
  assert.equal(view.connection(), before.connection);
  assert.equal(view.presence("ben"), view.presence("ben"));
  for (const each of [view.conversations(), view.conversation("c"), view.conversation("c").messages, view.outbox(), view.connection()]) {
    assert.ok(Object.isFrozen(each));
  }
  await view.close();
});

test("a snapshot of messages is not touched by a receipt or by somebody who types", async () => {
  const view = await loaded(2);
  const before = view.conversation("c");
  service.say({ type: "receipt", conversation_id: "c", user_id: "ben", message_id: "000000000002", seq: 2, read_at: "" });
  service.say({ type: "typing", conversation_id: "c", user_id: "ben", active: true, expires_in_ms: 6000 });
  const after = view.conversation("c");
  assert.equal(after.messages, before.messages);
  assert.equal(after.reads.ben, 2);
  assert.deepEqual(after.typing, ["ben"]);
  await view.close();
});

test("listeners are told once of a hundred messages, and not after they have left", async () => {
  const view = await opened();
  let told = 0;
  const { subscribe } = view;
  const leave = subscribe(() => told++);
  for (const seq of range(1, 100)) say(seq);
  await turns();
  assert.equal(told, 1);
  assert.equal(view.conversation("c").lastSeq, 100);
  leave();
  say(101);
  await turns();
  assert.equal(told, 1);
  await view.close();
});

test("a listener that throws keeps no other from being told", async () => {
  const view = await opened();
  const uncaught = [];
  mock.method(globalThis, "queueMicrotask", (call) => Promise.resolve().then(call).catch((error) => uncaught.push(error.message)));
  let told = 0;
  const leave = view.subscribe(() => {
    throw new Error("the application's");
  });
  view.subscribe(() => told++);
  say(1);
  await turns();
  assert.deepEqual([uncaught, told], [["the application's"], 1]);
  leave();
  await view.close();
});

test("the list is asked for page by page, and no further than what is not known", async () => {
  service.answers.set("GET /conversations", (query) =>
    query.get("cursor") ? list(summary("d")) : { conversations: [summary("c")], next_cursor: "next" },
  );
  const view = new ChatView(client()).start();
  service.heads = { c: 0, d: 0 };
  await service.open({ synced: { revisions: { c: 1, d: 1 } } });
  assert.deepEqual(view.conversations().map((each) => each.id), ["c", "d"]);
  assert.ok(view.connection().isListed);
  service.calls.length = 0;
  service.sockets.at(-1).onclose({ code: 1006 });
  mock.method(Math, "random", () => 0);
  await turns();
  await service.open({ synced: { revisions: { c: 1, d: 1 } } });
  assert.equal(service.paths().filter((path) => path.startsWith("GET /conversations?")).length, 1);
  await view.close();
});

test("a call that the service could not answer is repeated", async () => {
  mock.method(Math, "random", () => 0);
  let asked = 0;
  service.answers.set("GET /conversations", () => (++asked < 4 ? unavailable() : list(summary("c"))));
  const view = new ChatView(client()).start();
  service.heads = { c: 0 };
  await service.open();
  await turns(20);
  assert.equal(asked, 4);
  assert.deepEqual(view.conversations().map((each) => each.id), ["c"]);
  await view.close();
});

test("what the list does not tell is asked one by one: the last message, and who is there", async () => {
  service.answers.set("GET /conversations/c/messages", page(3, 3));
  const view = await opened([summary("c", { last_seq: 3 })]);
  await turns();
  assert.equal(view.conversation("c").lastMessage.body, "text 3");
  assert.deepEqual(view.presence("ben"), { online: true, lastSeenAt: null });
  await view.close();
});

test("a message of a conversation that is not known fetches it", async () => {
  const view = await opened([]);
  service.answers.set("GET /conversations/n", summary("n", { last_seq: 1 }));
  service.say({ type: "message", ...message(1, { conversation_id: "n" }) });
  await turns();
  assert.deepEqual(seqs(view, "n"), [1]);
  await view.close();
});

test("messages that come while a conversation is loaded are neither lost nor doubled", async () => {
  const view = await opened([summary("c", { last_seq: 60 })]);
  say(61);
  await turns();
  let answer;
  service.answers.set("GET /conversations/c", summary("c", { last_seq: 61 }));
  service.answers.set("GET /conversations/c/messages", new Promise((resolve) => (answer = resolve)));
  const loading = view.load("c");
  await turns();
  assert.ok(view.conversation("c").isLoading);
  say(62);
  await turns();
  answer(page(13, 62));
  await loading;
  say(63);
  await turns();
  assert.deepEqual(seqs(view), range(13, 63));
  const { isLoaded, isLoading, hasOlder } = view.conversation("c");
  assert.deepEqual({ isLoaded, isLoading, hasOlder }, { isLoaded: true, isLoading: false, hasOlder: true });
  await view.close();
});

test("older messages are paged up to the first", async () => {
  const view = await loaded(70);
  assert.deepEqual(seqs(view), range(21, 70));
  service.answers.set("GET /conversations/c/messages", page(1, 20, 70));
  await view.loadOlder("c");
  assert.deepEqual(seqs(view), range(1, 70));
  assert.equal(view.conversation("c").hasOlder, false);
  service.calls.length = 0;
  await view.loadOlder("c");
  assert.deepEqual(service.calls, []);
  await view.close();
});

test("history that the service has no more ends there", async () => {
  const view = await loaded(70);
  service.answers.set("GET /conversations/c/messages", { ...page(11, 20, 70), has_more: false });
  await view.loadOlder("c");
  assert.equal(view.conversation("c").hasOlder, false);
  await view.close();
});

test("a conversation holds so many messages, and one that is not loaded its tail", async () => {
  const view = await loaded(50, { messagesKept: 60, conversationsLoaded: 1 });
  for (const seq of range(51, 80)) say(seq);
  for (const seq of range(1, 80)) service.say({ type: "message", ...message(seq, { conversation_id: "d" }) });
  await turns();
  assert.deepEqual(seqs(view), range(21, 80));
  assert.ok(view.conversation("c").hasOlder);
  service.answers.set("GET /conversations/d", summary("d", { last_seq: 80 }));
  service.answers.set("GET /conversations/d/messages", page(31, 80));
  await view.load("d");
  assert.deepEqual(seqs(view, "d"), range(31, 80));
  assert.deepEqual(seqs(view), range(31, 80));
  assert.equal(view.conversation("c").isLoaded, false);
  await view.close();
});

test("a conversation that is not ours cannot be loaded, and leaves nothing", async () => {
  const view = await opened();
  await assert.rejects(view.load("other"), (error) => error instanceof RestFailed && error.code === "conversation_not_found");
  assert.equal(view.conversation("other"), undefined);
  assert.equal(view.conversations().length, 1);
  await view.close();
});

test("a message that is sent waits in the outbox, and is in its conversation with its ack", async () => {
  const view = await loaded(2);
  const sent = view.send("c", "mine", { metadata: { mood: "fine" } });
  await turns();
  const [entry] = view.outbox("c");
  assert.deepEqual([entry.body, entry.state, view.outbox("d")], ["mine", "waiting", []]);
  ack(service.sent("send")[0], 3);
  await sent;
  assert.deepEqual(view.outbox(), []);
  assert.equal(view.conversation("c").messages.at(-1).body, "mine");
  assert.deepEqual(view.conversation("c").messages.at(-1).metadata, { mood: "fine" });
  say(3, { sender: "ann", body: "mine", client_message_id: entry.clientMessageId });
  await turns();
  assert.deepEqual(seqs(view), [1, 2, 3]);
  await view.close();
});

test("a message whose frame comes before its ack is shown once", async () => {
  const view = await loaded(2);
  view.send("c", "mine");
  await turns();
  const [frame] = service.sent("send");
  assert.equal(view.outbox().length, 1);
  say(3, { sender: "ann", body: "mine", client_message_id: frame.client_message_id });
  await turns();
  assert.deepEqual(view.outbox(), []);
  assert.deepEqual(seqs(view), [1, 2, 3]);
  ack(frame, 3);
  await turns();
  assert.deepEqual(seqs(view), [1, 2, 3]);
  await view.close();
});

test("the ack of a message that was stored long ago makes no gap", async () => {
  const view = await opened([summary("c", { last_seq: 90 })]);
  view.send("c", "old");
  await turns();
  ack(service.sent("send")[0], 3);
  await turns();
  assert.deepEqual(seqs(view), []);
  await view.close();
});

test("a send that is refused stays in the outbox until it is tried again or given up", async () => {
  const view = await loaded(1);
  const refusal = { type: "error", code: "conversation_not_found", detail: "no", retryable: false, outcome: "refused" };
  view.send("c", "one").catch(() => {});
  await turns();
  service.say({ ...refusal, ref: service.sent("send")[0].ref });
  await turns();
  const [failed] = view.outbox("c");
  assert.deepEqual([failed.state, failed.error.code], ["failed", "conversation_not_found"]);
  const again = view.retry(failed.id);
  await turns();
  assert.equal(view.outbox("c")[0].state, "waiting");
  ack(service.sent("send")[1], 2);
  await again;
  assert.equal(view.conversation("c").messages.at(-1).body, "one");
  const other = view.send("c", "two");
  await turns();
  view.discard(view.outbox("c")[0].id);
  await assert.rejects(other, SendFailed);
  assert.deepEqual(view.outbox("c"), []);
  await view.close();
});

test("a failed send that nobody listens to is no uncaught error", async () => {
  const view = await loaded(1);
  view.send("c", "");
  view.send("c", "one");
  await turns();
  await view.close();
  await turns();
});

test("who types is forgotten after a while, with a message, and with the connection", async () => {
  const view = await opened();
  const typing = (user_id, expires_in_ms = 60_000) =>
    service.say({ type: "typing", conversation_id: "c", user_id, active: true, expires_in_ms });
  typing("ben");
  assert.deepEqual(view.conversation("c").typing, ["ben"]);
  say(1);
  await turns();
  assert.deepEqual(view.conversation("c").typing, []);
  typing("ben", 1);
  assert.deepEqual(view.conversations()[0].typing, ["ben"]);
  let told = false;
  view.subscribe(() => (told ||= !view.conversations()[0].typing.length));
  while (!told) await turns();
  typing("ben");
  service.sockets.at(-1).onclose({ code: 1006 });
  mock.method(Math, "random", () => 0);
  await turns();
  await service.open();
  assert.deepEqual(view.conversation("c").typing, []);
  await view.close();
});

test("a read cursor goes forward, over the reader's own messages too, and back only where the service says so", async () => {
  const view = await loaded(2);
  say(3, { sender: "ann" });
  say(4, { sender: "ben" });
  say(5, { sender: "ben" });
  await turns();
  const receipt = (user_id, seq) => service.say({ type: "receipt", conversation_id: "c", user_id, message_id: "", seq, read_at: "" });
  receipt("ben", 3);
  assert.equal(view.conversation("c").reads.ben, 5);
  receipt("ben", 2);
  assert.equal(view.conversation("c").reads.ben, 5);
  assert.equal(view.conversation("c").unread, 5);
  view.read("c");
  assert.equal(view.conversation("c").unread, 0);
  assert.equal(service.sent("read")[0].message_id, "000000000005");
  view.read("c");
  assert.equal(service.sent("read").length, 1);
  service.sockets.at(-1).onclose({ code: 1006 });
  mock.method(Math, "random", () => 0);
  await turns();
  service.heads = { c: 5 };
  await service.open({ synced: { read_seqs: { c: 1 } } });
  assert.equal(view.conversation("c").unread, 4);
  await view.close();
});

test("what others have read meanwhile is asked after each connection, of conversations that are loaded", async () => {
  const view = await loaded(3);
  service.answers.set("GET /conversations/c", summary("c", { last_seq: 3, members: [{ user_id: "ben", last_read_seq: 3, online: false }] }));
  service.sockets.at(-1).onclose({ code: 1006 });
  mock.method(Math, "random", () => 0);
  await turns();
  await service.open();
  assert.equal(view.conversation("c").reads.ben, 3);
  assert.equal(view.presence("ben").online, false);
  await view.close();
});

test("a send reads what the user had read, and not what has come meanwhile", async () => {
  const view = await loaded(3);
  view.read("c");
  say(4);
  await turns();
  view.send("c", "mine");
  assert.equal(service.sent("send")[0].read_seq, 3);
  await view.close();
});

test("messages of a conversation that was restored are discarded, and loaded again", async () => {
  const view = await loaded(5);
  service.answers.set("GET /conversations/c/messages", page(1, 3));
  service.answers.set("GET /conversations/c", summary("c", { last_seq: 3 }));
  service.say({ type: "reset", conversation_id: "c", last_seq: 3 });
  assert.deepEqual(seqs(view), []);
  await turns();
  assert.deepEqual(seqs(view), [1, 2, 3]);
  assert.ok(view.conversation("c").isLoaded);
  assert.equal(view.conversation("c").lastSeq, 3);
  await view.close();
});

test("a page that was asked for before a restore is thrown away", async () => {
  const view = await opened([summary("c", { last_seq: 5 })]);
  let answer;
  const late = new Promise((resolve) => (answer = resolve));
  let asked = 0;
  service.answers.set("GET /conversations/c", summary("c", { last_seq: 5 }));
  service.answers.set("GET /conversations/c/messages", () => (++asked === 1 ? late : page(1, 3)));
  const loading = view.load("c");
  await turns();
  service.say({ type: "reset", conversation_id: "c", last_seq: 3 });
  answer(page(1, 5));
  await loading;
  assert.deepEqual(seqs(view), [1, 2, 3]);
  await view.close();
});

test("a conversation that the user has left is gone, and a late notice does not bring it back", async () => {
  const view = await opened([summary("c", { revision: 2 })], { more: { revisions: { c: 2 } } });
  const notice = (event, revision, more) => service.say({ type: "conversation", conversation_id: "c", event, by: "ben", revision, ...more });
  notice("member_removed", 4, { user_id: "ann" });
  assert.equal(view.conversation("c"), undefined);
  notice("updated", 3, { conversation: summary("c", { revision: 3 }) });
  assert.equal(view.conversation("c"), undefined);
  assert.deepEqual(view.conversations(), []);
  notice("member_added", 5, { user_id: "ann", conversation: summary("c", { revision: 5, title: "again" }) });
  assert.equal(view.conversation("c").title, "again");
  await view.close();
});

test("a conversation that was left while there was no connection is gone with the next one, whatever a late list says", async () => {
  const view = await opened([summary("c"), summary("d")]);
  service.sockets.at(-1).onclose({ code: 1006 });
  mock.method(Math, "random", () => 0);
  await turns();
  service.heads = { d: 0 };
  await service.open();
  assert.deepEqual(view.conversations().map((each) => each.id), ["d"]);
  await view.close();
});

test("a change of a conversation that was missed is fetched", async () => {
  const view = await opened();
  service.answers.set("GET /conversations", list(summary("c")));
  service.answers.set("GET /conversations/c", summary("c", { revision: 7, title: "new" }));
  service.sockets.at(-1).onclose({ code: 1006 });
  mock.method(Math, "random", () => 0);
  await turns();
  await service.open({ synced: { revisions: { c: 7 } } });
  assert.equal(view.conversation("c").title, "new");
  await view.close();
});

test("the connection says what does not work, where it leads to, and why it is not there", async () => {
  const view = new ChatView(client());
  assert.equal(view.connection().name, "idle");
  view.start();
  await service.open({ welcome: { degraded: ["redis"] } });
  const { name, degraded, instanceId, userId, reason } = view.connection();
  assert.deepEqual({ name, degraded, instanceId, userId, reason }, { name: "open", degraded: ["redis"], instanceId: "i-1", userId: "ann", reason: null });
  service.say({ type: "degraded", dependencies: ["store"] });
  assert.deepEqual(view.connection().degraded, ["redis", "store"]);
  service.say({ type: "restored", dependencies: ["redis"] });
  assert.deepEqual(view.connection().degraded, ["store"]);
  service.sockets.at(-1).onclose({ code: 1006 });
  await turns();
  const waiting = view.connection();
  assert.equal(waiting.name, "waiting");
  assert.equal(waiting.reason.code, "closed_1006");
  assert.ok(waiting.retryAt instanceof Date);
  assert.equal(waiting.instanceId, "i-1");
  await view.close();
  assert.equal(view.connection().name, "stopped");
  assert.equal(view.connection().reason.code, "closed");
});

test("a conversation is begun once, however often it has to be asked for", async () => {
  mock.method(Math, "random", () => 0);
  const view = await opened([]);
  let asked = 0;
  service.answers.set("POST /conversations", () => (++asked < 3 ? unavailable() : summary("n", { title: "Trip" })));
  assert.equal(await view.create(["ben"], { title: "Trip" }), "n");
  assert.equal(asked, 3);
  assert.equal(view.conversation("n").title, "Trip");
  service.answers.set("PUT /conversations/direct/ben", refused());
  await assert.rejects(view.direct("ben"), RestFailed);
  await view.close();
});
