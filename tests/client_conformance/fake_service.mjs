/** A service in the hand of a test: sockets that say what the test says, and REST that answers what the test has put there. */

const LIMITS = { body_bytes: 16384, metadata_bytes: 4096, frame_bytes: 131072, cursors: 1000, replay_messages: 500, page_size: 200 };

export const turn = () => new Promise((resolve) => setTimeout(resolve));
export const turns = async (count = 10) => {
  for (let at = 0; at < count; at++) await turn();
};

export const message = (seq, more = {}) => ({
  ...{ conversation_id: "c", seq, message_id: String(seq).padStart(12, "0"), client_message_id: `k${seq}`, sender: "ben" },
  ...{ body: `text ${seq}`, sent_at: new Date(1_800_000_000_000 + seq * 1000).toISOString(), ...more },
});

export const summary = (id, more = {}) => ({
  ...{ conversation_id: id, title: null, members: ["ann", "ben"], member_count: 2, created_at: "2026-01-31T12:00:00.000Z" },
  ...{ last_message_at: null, last_message: null, last_seq: 0, last_read_seq: 0, revision: 1, indicators: true, ...more },
});

/** A page of history, as of a conversation with messages up to `head`. */
export const page = (first, last, head = last) => ({
  messages: Array.from({ length: last - first + 1 }, (_, at) => message(first + at)),
  has_more: first > 1,
  last_seq: head,
});

const problem = (status, code, retryable) => ({
  ...{ status, body: { type: `urn:holdfast:problem:${code}`, code, detail: code, retryable } },
});
export const refused = () => problem(404, "conversation_not_found", false);
export const unavailable = () => problem(503, "store_unavailable", true);

export class FakeService {
  sockets = [];
  /** @type {{ method: string, path: string }[]} */
  calls = [];
  /** "GET /path" -> what is answered: a body, a `refused()`, a function of either, or a promise */
  answers = new Map();
  /** conversation -> the last `seq` */
  heads = {};

  constructor() {
    const { sockets } = this;
    globalThis.WebSocket = class {
      readyState = 1;
      sent = [];
      constructor() {
        sockets.push(this);
      }
      send(text) {
        this.sent.push(JSON.parse(text));
      }
      close() {
        this.readyState = 3;
        this.onclose?.({ code: 1000 });
      }
    };
    globalThis.fetch = (url, { method }) => this.#answer(method, new URL(url));
  }

  /** Say it on the last socket. */
  say(frame) {
    this.sockets.at(-1).onmessage?.({ data: JSON.stringify(frame) });
  }

  /** Greet on the last socket, and end its replay. */
  async open({ welcome = {}, synced = {} } = {}) {
    await turns();
    this.say({ type: "welcome", user_id: "ann", connection_id: "k", instance_id: "i-1", keepalive_ms: 20000, limits: LIMITS, ...welcome });
    await turns();
    this.say({ type: "synced", heads: this.heads, read_seqs: {}, revisions: {}, ...synced });
    await turns();
  }

  /** What the client has sent of this type. */
  sent(type) {
    return this.sockets.flatMap((socket) => socket.sent).filter((frame) => frame.type === type);
  }

  paths() {
    return this.calls.map(({ method, path }) => `${method} ${path}`);
  }

  async #answer(method, { pathname, search }) {
    this.calls.push({ method, path: pathname.replace("/api", "") + search });
    const known = this.answers.get(`${method} ${pathname.replace("/api", "")}`) ?? refused();
    const answer = await (typeof known === "function" ? known(new URLSearchParams(search)) : known);
    const { status = 200, body = answer } = answer;
    return new Response(JSON.stringify(body), { status });
  }
}
