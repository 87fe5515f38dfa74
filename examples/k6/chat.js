// Load over WebSocket with k6 (https://grafana.com/docs/k6): users in conversations of ten write every two seconds.
//
//   k6 run examples/k6/chat.js
//   k6 run -e CHAT=https://chat.example.com -e CHAT_SECRET=… --vus 500 --duration 5m examples/k6/chat.js
//
// Without CHAT_SECRET the tokens come from /demo/token, which only the cluster of `make run` has.
//
// k6 itself has not run this script: no machine on which Holdfast is tested has k6. A test runs it in Node, with stand-ins for the modules
// of k6. The load that Holdfast is tested with is that of `holdfast drill run load` and `make bench`.

import { check, fail } from "k6";
import { hmac } from "k6/crypto";
import encoding from "k6/encoding";
import http from "k6/http";
import { Counter, Trend } from "k6/metrics";
import { clearInterval, setInterval, setTimeout } from "k6/timers";
import { WebSocket } from "k6/websockets";

const CHAT = __ENV.CHAT || "http://localhost:8000";
const MEMBERS = 10;
const EVERY_MS = Number(__ENV.EVERY_MS || 2_000);
const STAY_MS = Number(__ENV.STAY_MS || 30_000);

const acknowledged = new Trend("holdfast_acknowledged", true);
const delivered = new Trend("holdfast_delivered", true);
const wrongOrder = new Counter("holdfast_wrong_order");
const refused = new Counter("holdfast_refused");

export const options = {
  vus: 50,
  duration: "1m",
  thresholds: {
    holdfast_wrong_order: ["count==0"],
    holdfast_refused: ["count==0"],
    holdfast_delivered: ["p(99)<1000"],
  },
};

function signed(user) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: user, iat: now, exp: now + 3600, iss: "holdfast", aud: "holdfast" };
  const parts = [{ alg: "HS256", typ: "JWT" }, claims].map((part) => encoding.b64encode(JSON.stringify(part), "rawurl"));
  const unsigned = parts.join(".");
  return `${unsigned}.${hmac("sha256", __ENV.CHAT_SECRET, unsigned, "base64rawurl")}`;
}

function tokenOf(user) {
  if (__ENV.CHAT_SECRET) return signed(user);
  const answer = http.post(`${CHAT}/demo/token`, JSON.stringify({ user_id: user }), { headers: { "Content-Type": "application/json" } });
  if (answer.status !== 200) fail(`no token: ${answer.status}`);
  return answer.json("token");
}

export default function chat() {
  const group = Math.floor((__VU - 1) / MEMBERS);
  const members = Array.from({ length: MEMBERS }, (_, index) => `k6-${group * MEMBERS + index + 1}`);
  const conversation = `k6-${group}`;
  const token = tokenOf(`k6-${__VU}`);

  // Each member asks for it, and it is created once.
  const made = http.post(`${CHAT}/api/conversations`, JSON.stringify({ conversation_id: conversation, members }), {
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
  });
  check(made, { "there is a conversation": (answer) => answer.status === 201 || answer.status === 200 });

  const socket = new WebSocket(`${CHAT.replace(/^http/, "ws")}/ws`, null, { headers: { Authorization: `Bearer ${token}` } });
  const sentAt = {};
  let seq = 0;
  let count = 0;
  let writing;

  function write() {
    const key = `k6-${__VU}-${__ITER}-${Date.now()}-${(count += 1)}`;
    sentAt[key] = Date.now();
    const command = { type: "send", ref: key, conversation_id: conversation, client_message_id: key, body: `message ${count}` };
    socket.send(JSON.stringify({ ...command, metadata: { at: sentAt[key] } }));
  }

  function received({ type, ...frame }) {
    if (type === "synced") {
      writing = setInterval(write, EVERY_MS);
      setTimeout(() => socket.close(), STAY_MS);
    } else if (type === "ack") {
      acknowledged.add(Date.now() - sentAt[frame.client_message_id]);
    } else if (type === "message") {
      // The clocks are those of this machine: with several machines only `holdfast_acknowledged` can be believed.
      if (frame.metadata) delivered.add(Date.now() - frame.metadata.at);
      if (seq && frame.seq !== seq + 1) wrongOrder.add(1);
      seq = frame.seq;
    } else if (type === "error") {
      refused.add(1, { code: frame.code });
    }
  }

  socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "hello", client: "k6" })));
  socket.addEventListener("message", (event) => received(JSON.parse(event.data)));
  socket.addEventListener("close", () => clearInterval(writing));
}
