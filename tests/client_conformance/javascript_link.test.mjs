/** Hand-overs of the JavaScript client in a row, and what they leave behind; test_javascript_edges.py runs it. */

import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Client } from "../../clients/javascript/src/index.js";
import { FakeService, turns } from "./fake_service.mjs";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc");
const LIMITS = { body_bytes: 16384, metadata_bytes: 4096, frame_bytes: 131072, cursors: 1000 };
const WELCOME = { type: "welcome", user_id: "ann", connection_id: "k", instance_id: "i-1", keepalive_ms: 20000, limits: LIMITS };
const SYNCED = { type: "synced", heads: {}, read_seqs: {}, revisions: {} };
const DRAINING = { type: "draining", reconnect_after_ms: 0 };

const say = (socket, frame) => socket.onmessage?.({ data: JSON.stringify(frame) });

/** Until a timer of no milliseconds has fired, and what follows. */
const soon = () => turns(20);

/** What is due but timers, which stand still. */
const callbacks = async () => {
  for (let at = 0; at < 20; at++) await new Promise((resolve) => setImmediate(resolve));
};

/** A client that is open on one socket. */
async function opened() {
  const service = new FakeService();
  const client = new Client({ urls: ["http://a.example"], token: "token", cursors: {} }).start();
  await service.open();
  assert.equal(client.state.name, "open");
  return { client, service };
}

afterEach(() => {
  mock.timers.reset();
  mock.reset();
});

test("a successor that drains before its predecessor is closed is handed over, too", async () => {
  const { client, service } = await opened();
  const [first] = service.sockets;
  first.close = () => {}; // its answer takes long
  say(first, DRAINING);
  await soon();
  await service.open();
  say(service.sockets[1], DRAINING);
  await soon();
  assert.equal(service.sockets.length, 3);
  await service.open();
  assert.equal(service.sockets[1].readyState, 3);
  first.onclose({ code: 1000 });
  await soon();
  client.send("c", "text");
  assert.equal(service.sockets[2].sent.at(-1).type, "send");
  assert.equal(client.state.name, "open");
  assert.equal(service.sockets.length, 3);
  await client.close();
});

test("a successor that drains while it is replayed takes over first, and is handed over then", async () => {
  const { client, service } = await opened();
  say(service.sockets[0], DRAINING);
  await soon();
  say(service.sockets[1], WELCOME);
  say(service.sockets[1], DRAINING);
  await soon();
  assert.equal(service.sockets.length, 2);
  say(service.sockets[1], SYNCED);
  await soon();
  assert.equal(service.sockets[0].readyState, 3);
  assert.equal(service.sockets.length, 3);
  await client.close();
});

test("a successor that is closed for good ends the client, also while its predecessor is being closed", async () => {
  const { client, service } = await opened();
  const [first] = service.sockets;
  first.close = () => {};
  say(first, DRAINING);
  await soon();
  await service.open();
  service.sockets[1].onclose({ code: 4502 });
  first.onclose({ code: 1000 });
  await soon();
  assert.equal(client.state.name, "stopped");
  assert.equal(client.state.reason.code, "closed_4502");
});

test("a connection that ends just when its successor is replayed does not disconnect the client", async () => {
  const { client, service } = await opened();
  const told = [];
  client.on("*", ({ type }) => ["connected", "disconnected"].includes(type) && told.push(type));
  say(service.sockets[0], DRAINING);
  await soon();
  say(service.sockets[1], WELCOME);
  await soon();
  say(service.sockets[1], SYNCED);
  service.sockets[0].onclose({ code: 1006 });
  await soon();
  let isConnected = false;
  client.connected().then(() => (isConnected = true), () => {});
  await soon();
  assert.equal(isConnected, true);
  assert.deepEqual(told, ["connected"]);
  assert.equal(client.state.name, "open");
  await client.close();
});

test("connections of the past are forgotten", async () => {
  const { client, service } = await opened();
  const past = [];
  for (let at = 0; at < 5; at++) {
    past.push(new WeakRef(service.sockets.at(-1)));
    service.sockets.splice(0)[0].onclose({ code: 1006 });
    await turns(2);
    client.retryNow();
    await service.open();
  }
  assert.equal(client.state.name, "open");
  await turns(2);
  collectGarbage();
  assert.deepEqual(past.map((each) => each.deref()), Array(5).fill(undefined));
  await client.close();
});

test("a client that fails while it waits for its next connection stops", async () => {
  const { client, service } = await opened();
  say(service.sockets[0], DRAINING);
  await soon();
  service.sockets[0].onclose({ code: 1006 });
  await soon();
  say(service.sockets[1], WELCOME);
  await soon();
  const { ref } = service.sockets[1].sent[0];
  say(service.sockets[1], { type: "error", ref, code: "invalid_request", detail: "no", retryable: false });
  await soon();
  assert.equal(client.state.reason?.code, "invalid_request");
});

test("a dead connection is noticed although the clock was set back", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let time = 1_800_000_000_000;
  mock.method(Date, "now", () => time);
  const pass = async (ms) => {
    time += ms;
    mock.timers.tick(ms);
    await callbacks();
  };
  const service = new FakeService();
  new Client({ urls: ["http://a.example"], token: "token", cursors: {} }).start();
  await callbacks();
  say(service.sockets[0], WELCOME);
  say(service.sockets[0], SYNCED);
  await pass(1_000);
  time -= 3_600_000;
  await pass(WELCOME.keepalive_ms);
  await pass(WELCOME.keepalive_ms);
  assert.equal(service.sent("ping").length, 1);
  await pass(10_000);
  assert.equal(service.sockets[0].readyState, 3);
});

test("a connection that answers is kept although the clock is set back before its answer", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let time = 1_800_000_000_000;
  mock.method(Date, "now", () => time);
  const service = new FakeService();
  const client = new Client({ urls: ["http://a.example"], token: "token", cursors: {} }).start();
  await callbacks();
  say(service.sockets[0], WELCOME);
  say(service.sockets[0], SYNCED);
  time += WELCOME.keepalive_ms;
  mock.timers.tick(WELCOME.keepalive_ms);
  assert.equal(service.sent("ping").length, 1);
  time -= 3_600_000;
  say(service.sockets[0], { type: "pong" });
  mock.timers.tick(10_000);
  assert.equal(service.sockets[0].readyState, 1);
  await client.close();
});
