/** The hooks for React above a real client and view: `node --test`; test_javascript_react.py runs it beside an installed client. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Client } from "@holdfast/client";
import { HoldfastProvider, useConnection, useConversation, useConversations, useOutbox, usePresence, useView } from "@holdfast/client/react";
import { ChatView } from "@holdfast/client/view";
import { act, Component, createElement as h, StrictMode, useEffect } from "react";
import { renderToString } from "react-dom/server";
import { create } from "react-test-renderer";
import { FakeService, message, page, summary, turns } from "./fake_service.mjs";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;

const HOOKS = { connection: useConnection, conversations: useConversations, conversation: useConversation, outbox: useOutbox, presence: usePresence };
const NOT_STARTED = {
  ...{ name: "idle", retryAt: null, reason: null, instanceId: "", userId: "", limits: null, degraded: [], isListed: false },
};

let service;
let views;
let rendered; // name of a component -> what its hook returned, each time

/** A component that renders nothing but notes what its hook returns. */
function Slice({ name, slice, of }) {
  (rendered[name ?? slice] ??= []).push(HOOKS[slice](of));
  return null;
}
const slices = () => [
  h(Slice, { key: 1, slice: "connection" }),
  h(Slice, { key: 2, slice: "conversations" }),
  h(Slice, { key: 3, slice: "conversation", name: "c", of: "c" }),
  h(Slice, { key: 4, slice: "conversation", name: "d", of: "d" }),
  h(Slice, { key: 5, slice: "outbox" }),
  h(Slice, { key: 6, slice: "presence", of: "ben" }),
];
const provided = (view, children = slices()) => h(HoldfastProvider, { view }, children);
const last = (name) => rendered[name].at(-1);
const say = (frame) => act(() => (service.say(frame), turns()));
const says = (seq, more) => say({ type: "message", ...message(seq, more) });

/** How often each component rendered during the work. */
async function renders(work) {
  const before = Object.fromEntries(Object.entries(rendered).map(([name, { length }]) => [name, length]));
  await work();
  return Object.fromEntries(Object.entries(rendered).map(([name, { length }]) => [name, length - before[name]]));
}

/** A view with as many subscriptions as it has. */
function made() {
  const view = new ChatView(new Client({ urls: ["http://a.example"], token: "token" }));
  const { subscribe } = view;
  view.subscriptions = 0;
  view.subscribe = (listener) => {
    const end = subscribe(listener);
    view.subscriptions++;
    return () => (view.subscriptions--, end());
  };
  views.push(view);
  return view;
}

/** The view of Ann, connected, with the conversations `c` and `d`. */
async function opened() {
  const view = made().start();
  service.heads = { c: 0, d: 0 };
  service.answers.set("GET /conversations", { conversations: [summary("c"), summary("d")], next_cursor: null });
  service.answers.set("GET /users/ben/presence", { online: true, last_seen_at: null });
  await service.open();
  await turns();
  return view;
}

/** What shows these elements; `end` removes them. */
async function shown(elements) {
  let root;
  await act(async () => void (root = create(elements)));
  return { end: () => act(async () => root.unmount()), update: (others) => act(async () => root.update(others)) };
}

beforeEach(() => {
  service = new FakeService();
  views = [];
  rendered = {};
});
afterEach(async () => {
  for (const view of views) await view.close();
});

test("hooks return what the view has, and follow it from its start", async () => {
  const view = made();
  const { end } = await shown(provided(view));
  assert.deepEqual(last("connection"), NOT_STARTED);
  assert.deepEqual(last("conversations"), []);
  assert.equal(last("c"), undefined);
  service.answers.set("GET /conversations", { conversations: [summary("c")], next_cursor: null });
  service.answers.set("GET /users/ben/presence", { online: true, last_seen_at: null });
  service.heads = { c: 0 };
  await act(async () => (view.start(), await service.open(), await turns()));
  assert.equal(last("connection").name, "open");
  assert.equal(last("presence").online, true);
  await says(1);
  assert.equal(last("c"), view.conversation("c"));
  assert.equal(last("c").lastMessage.body, "text 1");
  assert.deepEqual(last("conversations"), [last("c")]);
  await end();
});

test("a component renders when its own part has changed, and no other one does", async () => {
  const { end } = await shown(provided(await opened()));
  const none = { connection: 0, conversations: 0, c: 0, d: 0, outbox: 0, presence: 0 };
  assert.deepEqual(await renders(() => says(1)), { ...none, c: 1, conversations: 1 });
  assert.deepEqual(await renders(() => say({ type: "degraded", dependencies: ["redis"] })), { ...none, connection: 1 });
  const offline = { type: "presence", user_id: "ben", online: false, last_seen_at: "2026-01-31T12:00:00.000Z" };
  assert.deepEqual(await renders(() => say(offline)), { ...none, presence: 1 });
  assert.deepEqual(await renders(() => says(1)), none, "the same message again");
  await end();
});

test("a send is in the outbox of its conversation until it is stored", async () => {
  const view = await opened();
  const mine = ["c", "d"].map((id) => h(Slice, { key: id, slice: "outbox", name: `outbox of ${id}`, of: id }));
  const { end } = await shown(provided(view, mine));
  await act(() => (view.send("c", "hello"), turns()));
  assert.deepEqual(last("outbox of c").map(({ body, state }) => [body, state]), [["hello", "waiting"]]);
  const [{ ref, client_message_id }] = service.sent("send");
  const known = { ref, client_message_id, conversation_id: "c", message_id: "000000000001", seq: 1 };
  await say({ type: "ack", ...known, sent_at: "2026-02-01T12:00:00.000Z", duplicate: false });
  assert.deepEqual(last("outbox of c"), []);
  assert.equal(rendered["outbox of d"].length, 1);
  await end();
});

test("components that are removed end their subscriptions; in StrictMode, whose effects run twice, too", async () => {
  const view = await opened();
  const { end } = await shown(h(StrictMode, null, provided(view)));
  assert.equal(view.subscriptions, slices().length);
  await says(1);
  assert.equal(last("c").lastMessage.seq, 1);
  await end();
  assert.equal(view.subscriptions, 0);
  assert.deepEqual((await renders(() => says(2))).c, 0);
});

test("a component that is given another conversation shows that one", async () => {
  const view = await opened();
  await says(1, { conversation_id: "d" });
  const one = (of) => provided(view, h(Slice, { slice: "conversation", of }));
  const { update, end } = await shown(one("c"));
  assert.equal(last("conversation").id, "c");
  await update(one("d"));
  assert.equal(last("conversation"), view.conversation("d"));
  assert.equal(view.subscriptions, 1);
  await end();
});

test("a provider that is given another view, after a change of users, leaves the first one", async () => {
  const first = await opened();
  const { update, end } = await shown(provided(first));
  const second = made();
  await update(provided(second));
  assert.deepEqual([first.subscriptions, second.subscriptions], [0, slices().length]);
  assert.equal(last("connection").name, "idle");
  assert.deepEqual(last("conversations"), []);
  await end();
});

test("a component that loads its conversation in an effect loads it once, in StrictMode, too", async () => {
  const view = await opened();
  const members = [{ user_id: "ann" }, { user_id: "ben" }];
  service.answers.set("GET /conversations/c", summary("c", { last_seq: 2, members }));
  service.answers.set("GET /conversations/c/messages", page(1, 2));
  const Loading = () => {
    const its = useView();
    useEffect(() => void its.load("c"), [its]);
    return h(Slice, { slice: "conversation", of: "c" });
  };
  const { end } = await shown(h(StrictMode, null, provided(view, h(Loading))));
  await act(() => turns());
  assert.deepEqual(last("conversation").messages.map(({ seq }) => seq), [1, 2]);
  assert.equal(service.paths().filter((path) => path.startsWith("GET /conversations/c/messages")).length, 1);
  await end();
});

test("a server renders a view that was not started, and a page that is hydrated later begins with the same", async () => {
  const Page = () => JSON.stringify([useConnection(), useConversations(), useConversation("c") ?? null, useOutbox(), usePresence("ben") ?? null]);
  const html = renderToString(provided(made(), h(Page)));
  assert.equal(html, renderToString(h("i", null, JSON.stringify([NOT_STARTED, [], null, [], null]))).slice(3, -4));
  const connected = await opened();
  connected.send("c", "hello");
  assert.equal(renderToString(provided(connected, h(Page))), html);
});

test("a hook outside of a provider fails with the remedy", async () => {
  let told;
  class Boundary extends Component {
    state = {};
    static getDerivedStateFromError = (error) => ((told = error), { failed: true });
    render = () => (this.state.failed ? null : this.props.children);
  }
  const { error } = console;
  console.error = () => {}; // React tells of each error that a boundary takes
  try {
    await shown(h(Boundary, null, h(Slice, { slice: "connection" })));
  } finally {
    console.error = error;
  }
  assert.match(told.message, /inside a HoldfastProvider/);
});

test("what the user does goes to the view itself", async () => {
  const view = await opened();
  const found = [];
  const { end } = await shown(provided(view, h(() => (found.push(useView()), null))));
  assert.deepEqual(found, [view]);
  await end();
});
