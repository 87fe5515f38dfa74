/** How fast the JavaScript client's sends go out, and for how long they are repeated; test_javascript_edges.py runs it. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Client } from "../../clients/javascript/src/index.js";
import { Outbox } from "../../clients/javascript/src/outbox.js";
import { FakeService, turns } from "./fake_service.mjs";

const LIMITS = { body_bytes: 16384, metadata_bytes: 4096, frame_bytes: 131072, cursors: 1000 };
const RATES = { inflight_sends: 64, sends_per_second: 50, frames_per_second: 100 };
const limits = (more = {}) => ({ ...LIMITS, ...RATES, ...more });
const LINE = {};
const OTHER = {};

const draft = (conversationId, key = "a") => ({
  ...{ ref: `${conversationId}-${key}`, conversationId, clientMessageId: key, text: "{}", body: "text", metadata: undefined },
  ...{ bodyBytes: 4, metadataBytes: 0, frameBytes: 100, addedAt: Date.now() },
});
const answer = () => ({ resolve() {}, reject(error) { this.error = error; } });

/** An outbox with one send in each of so many conversations. */
function many(count) {
  const outbox = new Outbox();
  for (let at = 0; at < count; at++) outbox.add(draft(`c${at}`), answer(), 0);
  return outbox;
}
const ack = (id, key = "a") => ({ type: "ack", conversation_id: id, client_message_id: key, seq: 1 });
const refusal = (id, code, retry_after_ms) => ({ type: "error", ref: `${id}-a`, code, detail: "", retryable: true, retry_after_ms });
const refs = (drafts) => drafts.map(({ ref }) => ref);

test("sends in 500 conversations are all stored, and never more than 64 are unanswered", async () => {
  const service = new FakeService();
  const client = new Client({ urls: ["http://a.example"], token: "token", cursors: {} }).start();
  await service.open({ welcome: { limits: limits({ sends_per_second: 2_000, frames_per_second: 2_000 }) } });
  const socket = service.sockets[0];
  let unanswered = 0;
  let most = 0;
  socket.send = async (text) => {
    const { type, ref, conversation_id, client_message_id } = JSON.parse(text);
    if (type !== "send") return;
    most = Math.max(most, ++unanswered);
    await turns(2);
    unanswered--;
    service.say({ type: "ack", ref, conversation_id, client_message_id, message_id: "0", seq: 1, duplicate: false });
  };
  const sent = Array.from({ length: 500 }, (_, at) => client.send(`c${at}`, "hello"));
  assert.equal((await Promise.all(sent)).length, 500);
  assert.ok(most <= 64, `${most} were unanswered`);
  await client.close();
});

test("no more are in flight than the instance announces", () => {
  const outbox = many(5);
  const announced = limits({ inflight_sends: 2 });
  assert.deepEqual(refs(outbox.due(LINE, 0, announced, 0)), ["c0-a", "c1-a"]);
  assert.deepEqual(outbox.due(LINE, 0, announced, 0), []);
  assert.equal(outbox.nextAt(0), Infinity, "an answer makes the next one due, not the time");
  outbox.acknowledged(ack("c0"));
  assert.deepEqual(refs(outbox.due(LINE, 0, announced, 0)), ["c2-a"]);
});

test("a new connection begins with nothing in flight", () => {
  const outbox = many(5);
  const announced = limits({ inflight_sends: 2 });
  outbox.due(LINE, 0, announced, 0);
  assert.equal(outbox.due(OTHER, 0, announced, 0).length, 2);
});

test("sends go out below the announced rate", () => {
  const outbox = many(500);
  const announced = limits({ inflight_sends: 500 });
  let now = 0;
  let written = outbox.due(LINE, now, announced, 0).length;
  assert.ok(written <= 50);
  while (written < 500) {
    const at = outbox.nextAt(now);
    assert.ok(at > now && at < Infinity);
    now = at;
    written += outbox.due(LINE, now, announced, 0).length;
    assert.ok(written <= 50 + now / 20, `${written} after ${now} ms`);
  }
  assert.ok(now > 9_000 && now < 11_000, `${now} ms`);
});

test("no rate is kept where none is announced", () => {
  assert.equal(many(500).due(LINE, 0, LIMITS, 0).length, 500);
  assert.equal(many(500).due(LINE, 0, limits({ inflight_sends: 500, sends_per_second: 0, frames_per_second: 0 }), 0).length, 500);
});

for (const code of ["rate_limited", "overloaded"]) {
  test(`a refusal that would meet every send pauses all of them: ${code}`, () => {
    const outbox = many(10);
    const announced = limits({ inflight_sends: 5 });
    outbox.due(LINE, 0, announced, 0);
    outbox.failed(refusal("c0", code, 2_000), 0);
    assert.deepEqual(outbox.due(LINE, 2_000, announced, 0), []);
    const at = outbox.nextAt(2_000);
    assert.ok(at > 2_000 && at < Infinity);
    assert.equal(outbox.due(LINE, at, announced, 0).length, 1);
  });
}

test("a refusal of one conversation does not hold up the others", () => {
  const outbox = many(2);
  const announced = limits({ inflight_sends: 1 });
  outbox.due(LINE, 0, announced, 0);
  outbox.failed(refusal("c0", "store_unavailable", 2_000), 0);
  assert.deepEqual(refs(outbox.due(LINE, 0, announced, 0)), ["c1-a"]);
});

test("sends that were refused at once do not come back at once", () => {
  const outbox = many(64);
  const announced = limits({ sends_per_second: 10 });
  for (const { conversationId } of outbox.due(LINE, 0, announced, 0)) outbox.failed(refusal(conversationId, "rate_limited", 1_000), 0);
  outbox.due(LINE, 1_000, announced, 0);
  assert.equal(outbox.due(LINE, outbox.nextAt(1_000), announced, 0).length, 1);
});

test("the pause is added to what the service asks for", () => {
  const ends = Array.from({ length: 20 }, () => {
    const outbox = many(1);
    outbox.due(LINE, 0, limits(), 0);
    outbox.failed(refusal("c0", "store_unavailable", 5_000), 0);
    return outbox.nextAt(0);
  });
  assert.ok(Math.min(...ends) > 5_000);
  assert.ok(new Set(ends).size > 1);
});

test("conversations take turns", () => {
  const outbox = new Outbox();
  for (const [id, key] of [["c", "a"], ["c", "b"], ["d", "x"]]) outbox.add(draft(id, key), answer(), 0);
  const announced = limits({ inflight_sends: 1 });
  assert.deepEqual(refs(outbox.due(LINE, 0, announced, 0)), ["c-a"]);
  outbox.acknowledged(ack("c"));
  assert.deepEqual(refs(outbox.due(LINE, 0, announced, 0)), ["d-x"]);
  assert.deepEqual(refs(outbox.all.map((each) => each.draft)), ["c-b", "d-x"], "the order in which they are shown stays");
});

const DAY_MS = 24 * 3_600_000;

test("a send that was written more than six days ago is not written again", () => {
  const outbox = new Outbox();
  const [first, second] = [answer(), answer()];
  outbox.add(draft("c", "a"), first, 0);
  outbox.add(draft("c", "b"), second, 0);
  assert.deepEqual(refs(outbox.due(LINE, 0, limits(), 0)), ["c-a"]);
  outbox.lost(LINE);
  assert.deepEqual(refs(outbox.due(LINE, 1, limits(), 5.9 * DAY_MS)), ["c-a"], "the first time counts");
  outbox.lost(LINE);
  assert.deepEqual(refs(outbox.due(LINE, 2, limits(), 6 * DAY_MS)), ["c-b"], "the one behind it was never written");
  const { code, outcome, retryable } = first.error;
  assert.deepEqual({ code, outcome, retryable }, { code: "expired", outcome: "unknown", retryable: false });
  assert.equal(second.error, undefined);
  assert.equal(outbox.failedDraft("c-a").ref, "c-a");
});

test("a machine that slept for a week stores no send twice", async () => {
  const service = new FakeService();
  const client = new Client({ urls: ["http://a.example"], token: "token", cursors: {} }).start();
  await service.open();
  const sent = client.send("c", "hello");
  const failed = assert.rejects(sent, { code: "expired", outcome: "unknown", retryable: false });
  const { now } = Date;
  mock.method(Date, "now", () => now() + 7 * DAY_MS); // and `performance.now` stood still
  service.sockets[0].onclose({ code: 1006 });
  await turns();
  client.retryNow();
  await service.open();
  await failed;
  assert.equal(service.sent("send").length, 1);
  await client.close();
  mock.reset();
});
