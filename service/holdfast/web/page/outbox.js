/* What this tab has sent and not yet seen in its conversation.

   An entry is sent again under the same client_message_id until an instance has acknowledged it: the id makes repeating
   harmless. One is in flight per conversation, so messages arrive in the order they were written. Entries survive a reload
   (sessionStorage) and are given up after 24 hours. States: queued, flying, acked (durable, its frame not here yet), failed. */

const ANSWER_WITHIN_MS = 10_000;
const GIVE_UP_AFTER_MS = 24 * 3_600_000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 5_000;

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  #entries = [];
  #isOpen = false;

  constructor({ userId, send, onChange }) {
    Object.assign(this, { send, onChange });
    this.key = `holdfast.outbox.${userId}`;
    this.#entries = this.#kept();
    setInterval(() => this.#look(), 1_000);
  }

  of(conversationId) {
    return this.#entries.filter((entry) => entry.conversationId === conversationId);
  }

  /* readSeq: how far the user has read it. A message that waits for a connection says nothing about what arrives meanwhile. */
  add(conversationId, body, readSeq) {
    this.#entries.push({ id: newId(), conversationId, body, readSeq, at: Date.now(), state: "queued", attempts: 0, notBefore: 0 });
    this.#changed();
    this.#pump();
  }

  drop(id) {
    this.#entries = this.#entries.filter((entry) => entry.id !== id);
    this.#changed();
    this.#pump();
  }

  /* The socket says welcome: whatever was in flight on the last one goes again. */
  opened() {
    this.#isOpen = true;
    for (const entry of this.#entries) if (entry.state === "flying") Object.assign(entry, { state: "queued", notBefore: 0 });
    this.#pump();
  }

  closed() {
    this.#isOpen = false;
  }

  acknowledged(frame) {
    const entry = this.#find(frame.client_message_id);
    if (!entry) return;
    Object.assign(entry, { state: "acked", seq: frame.seq, at: Date.parse(frame.sent_at) });
    this.#changed();
    this.#pump();
  }

  refused(frame) {
    const entry = this.#find(frame.client_message_id ?? frame.ref);
    if (!entry || entry.state === "acked") return;
    if (frame.retryable) {
      entry.attempts += 1;
      const pause = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** entry.attempts) * (0.5 + Math.random() / 2);
      Object.assign(entry, { state: "queued", notBefore: Date.now() + Math.max(pause, frame.retry_after_ms ?? 0) });
    } else {
      Object.assign(entry, { state: "failed", detail: frame.detail });
    }
    this.#changed();
    this.#pump();
  }

  /* Its message is in the conversation, by whatever path it came. */
  arrived(clientMessageId) {
    if (this.#find(clientMessageId)) this.drop(clientMessageId);
  }

  #find(id) {
    return this.#entries.find((entry) => entry.id === id);
  }

  #pump() {
    if (!this.#isOpen) return;
    const busy = new Set(this.#entries.filter((entry) => entry.state === "flying").map((entry) => entry.conversationId));
    for (const entry of this.#entries) {
      if (entry.state !== "queued" || busy.has(entry.conversationId)) continue;
      busy.add(entry.conversationId); // the ones behind it wait, also when it waits itself
      if (entry.notBefore <= Date.now() && this.send(this.#frame(entry))) {
        Object.assign(entry, { state: "flying", sentAt: Date.now() });
      }
    }
  }

  #frame(entry) {
    const { id, conversationId, body, readSeq = 0 } = entry;
    return { type: "send", ref: id, conversation_id: conversationId, client_message_id: id, body, read_seq: readSeq };
  }

  #look() {
    const now = Date.now();
    for (const entry of this.#entries) {
      if (entry.state === "flying" && now - entry.sentAt > ANSWER_WITHIN_MS) entry.state = "queued";
      if (entry.state === "queued" && now - entry.at > GIVE_UP_AFTER_MS) {
        Object.assign(entry, { state: "failed", detail: "nobody took it for 24 hours" });
        this.#changed();
      }
    }
    this.#pump();
  }

  #changed() {
    try {
      sessionStorage.setItem(this.key, JSON.stringify(this.#entries.filter((entry) => entry.state !== "acked")));
    } catch {
      // no storage here: entries live as long as the tab
    }
    this.onChange();
  }

  #kept() {
    try {
      const entries = JSON.parse(sessionStorage.getItem(this.key) ?? "[]");
      return entries.map((entry) => (entry.state === "flying" ? { ...entry, state: "queued", notBefore: 0 } : entry));
    } catch {
      return [];
    }
  }
}
