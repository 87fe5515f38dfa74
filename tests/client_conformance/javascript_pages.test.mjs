/** Pages of the JavaScript client that come at a bad moment; test_javascript_edges.py runs it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../../clients/javascript/src/index.js";
import { FakeService, message, page, refused, summary, turns, unavailable } from "./fake_service.mjs";

const PAGE = "GET /conversations/c/messages";
const changed = (event, revision, conversation) => ({
  ...{ type: "conversation", conversation_id: "c", event, user_id: "ann", by: "ben", revision, conversation },
});

test("a late page of an earlier membership does not end the one that began meanwhile", async () => {
  const service = new FakeService();
  service.heads = { c: 0 };
  let refuse;
  const answers = [new Promise((resolve) => (refuse = () => resolve(refused()))), page(4, 5)];
  service.answers.set(PAGE, () => answers.shift());
  const client = new Client({ urls: ["http://a.example"], token: "token", cursors: {} }).start();
  await service.open({ synced: { heads: { c: 0 }, revisions: { c: 1 } } });
  service.say({ type: "message", ...message(2) });
  await turns();
  assert.equal(service.calls.length, 1);
  service.say(changed("member_removed", 2));
  service.say(changed("member_added", 3, summary("c", { last_seq: 3, revision: 3 })));
  service.say({ type: "message", ...message(5) });
  refuse();
  await turns();
  const shown = [];
  for await (const { seq } of client.messages()) if (shown.push(seq) === 2) break;
  assert.deepEqual(shown, [4, 5]);
  assert.deepEqual(service.paths().at(-1), `${PAGE}?after_seq=3&limit=200`);
  await client.close();
});

test("a line that is too slow for a whole page fills the hole with smaller ones", async (t) => {
  t.mock.method(Math, "random", () => 0); // no pauses
  const service = new FakeService();
  service.heads = { c: 400 };
  service.answers.set(PAGE, (search) => {
    const [after, limit] = ["after_seq", "limit"].map((name) => Number(search.get(name)));
    return limit > 30 ? unavailable() : page(after + 1, Math.min(400, after + limit), 400);
  });
  const client = new Client({ urls: ["http://a.example"], token: "token", cursors: { c: 0 } }).start();
  await service.open();
  service.say({ type: "truncated", conversation_id: "c", from_seq: 1, to_seq: 400 });
  const shown = [];
  for await (const { seq } of client.messages()) if (shown.push(seq) === 400) break;
  assert.deepEqual(
    shown,
    Array.from({ length: 400 }, (_, at) => at + 1),
  );
  await client.close();
});
