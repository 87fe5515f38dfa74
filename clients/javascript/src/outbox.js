/**
 * Sends on their way: one in flight per conversation, repeated under the same id until they are answered.
 *
 * Pure: time comes in, frames go out. A send lives until its answer, a definite refusal, or `GIVE_UP_MS`. One that failed is kept,
 * so that the user can try it again or discard it.
 */

import { excess } from "./checks.js";
import { SendFailed } from "./errors.js";

/** @typedef {import("./checks.js").Draft} Draft */
/** @typedef {import("./frames.js").Ack} Ack */
/** @typedef {import("./frames.js").ErrorFrame} ErrorFrame */
/** @typedef {import("./frames.js").Limits} Limits */
/** @typedef {import("./waiting.js").Deferred<Ack>} Answer */

const GIVE_UP_MS = 24 * 3_600_000; // the store keeps keys for seven days: a repetition is always safe until then
const ANSWER_MS = 60_000; // an instance answers within seconds, be it with an error: after this a send is repeated
const MAX_WAITING = 10_000;
const MAX_WAITING_BYTES = 64 * 1024 * 1024; // 4,000 texts of the largest size
const MAX_FAILED = 1_000; // of more the oldest are forgotten
const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 10_000;

/** @typedef {{ draft: Draft, answer: Answer, giveUpAt: number, tries: number, error: SendFailed | null }} Pending */
/** @typedef {{ queue: [Pending, ...Pending[]], connection: object | null, sentAt: number, notBefore: number }} Lane */

/** All sends of one client that are not stored yet. */
export class Outbox {
  /** Rises with each change. */
  version = 0;
  /** @type {Map<string, Lane>} */
  #lanes = new Map();
  /** @type {Map<string, string>} ref of a send -> its conversation */
  #refs = new Map();
  /** @type {Map<string, Pending>} by ref */
  #failed = new Map();
  /** @type {Map<string, import("./store.js").KeptSend | null>} by ref */
  #changed = new Map();
  #bytes = 0;

  /** Those that wait, then those that failed. @returns {Pending[]} */
  get all() {
    return [...[...this.#lanes.values()].flatMap((lane) => lane.queue), ...this.#failed.values()];
  }

  /** What is to be kept since the last call; null: not any more. */
  takeChanges() {
    const changed = this.#changed;
    this.#changed = new Map();
    return changed;
  }

  /**
   * Queue one, unless it waits already. Throws `overloaded` when too many wait.
   *
   * @param {Draft} draft
   * @param {Answer} answer
   * @param {number} now when it was added: it is given up a day later
   * @param {SendFailed | null} [error] it has failed already
   */
  add(draft, answer, now, error = null) {
    if (this.#refs.has(draft.ref)) return;
    if (this.#refs.size >= MAX_WAITING || this.#bytes + draft.frameBytes > MAX_WAITING_BYTES) {
      throw new SendFailed("overloaded", `${this.#refs.size} sends with ${this.#bytes} bytes are waiting`);
    }
    const id = draft.conversationId;
    const pending = { draft, answer, giveUpAt: now + GIVE_UP_MS, tries: 0, error };
    if (error) return this.#keepFailed(pending);
    this.#failed.delete(draft.ref);
    this.#refs.set(draft.ref, id);
    this.#bytes += draft.frameBytes;
    const lane = this.#lanes.get(id);
    if (lane) lane.queue.push(pending);
    else this.#lanes.set(id, { queue: [pending], connection: null, sentAt: 0, notBefore: 0 });
    this.#note(draft.ref, pending);
  }

  /**
   * The frames to write to `connection` now. A send over its limits fails instead, and the next one is tried.
   *
   * @param {object} connection
   * @param {number} now
   * @param {Limits} limits
   * @returns {Draft[]}
   */
  due(connection, now, limits) {
    const drafts = [];
    for (const [id, lane] of this.#lanes) {
      if (lane.connection || lane.notBefore > now) continue;
      this.#dropExcess(lane, limits);
      if (!this.#lanes.has(id)) continue;
      lane.connection = connection;
      lane.sentAt = now;
      lane.queue[0].tries++;
      drafts.push(lane.queue[0].draft);
    }
    return drafts;
  }

  /** Give up sends that are too old; one without an answer for a minute is due again. @param {number} now */
  expire(now) {
    for (const lane of [...this.#lanes.values()]) {
      if (lane.connection && lane.sentAt + ANSWER_MS <= now) lane.connection = null;
      while (lane.queue.length && !lane.connection && lane.queue[0].giveUpAt <= now) {
        this.#fail(lane, new SendFailed("store_unavailable", "given up after a day", { outcome: "unknown" }));
      }
    }
  }

  /** When something becomes due by itself. @param {number} now */
  nextAt(now) {
    return [...this.#lanes.values()].reduce((least, { notBefore: at }) => (at > now ? Math.min(least, at) : least), Infinity);
  }

  /** Whether something has no answer yet that was written to this connection. @param {object} connection */
  hasInFlight(connection) {
    return [...this.#lanes.values()].some((lane) => lane.connection === connection);
  }

  /** An answer; the next one of its conversation is due then. @param {Ack} ack */
  acknowledged(ack) {
    const lane = this.#lanes.get(ack.conversation_id);
    if (lane?.queue[0].draft.clientMessageId === ack.client_message_id) this.#take(lane).answer.resolve(ack);
  }

  /**
   * A refusal: for good, or to be tried again after a pause. Unknown ones are ignored.
   *
   * @param {ErrorFrame} error
   * @param {number} now
   */
  failed(error, now) {
    const lane = this.#laneOf(error);
    if (!lane) return;
    if (error.retryable || error.code === "invalid_state") {
      this.#tryLater(lane, error, now); // invalid_state: the instance had not accepted our hello, the send is not to blame
    } else {
      const outcome = error.outcome ?? "refused";
      this.#fail(lane, new SendFailed(error.code, error.detail, { outcome, retryable: false }));
    }
  }

  /** The connection ended: what was in flight on it is due again. @param {object} connection */
  lost(connection) {
    for (const lane of this.#lanes.values()) if (lane.connection === connection) lane.connection = null;
  }

  /**
   * The connection ended because of what was written to it: what was in flight is not written again.
   *
   * @param {object} connection
   * @param {string} code
   * @param {string} detail
   */
  blamed(connection, code, detail) {
    for (const lane of [...this.#lanes.values()]) {
      if (lane.connection === connection) this.#fail(lane, new SendFailed(code, detail, { outcome: "unknown", retryable: false }));
    }
  }

  /**
   * End all waiting calls with an error: no answer will come, and why. What is kept of them stays so, for the next client.
   *
   * @param {string} code
   * @param {string} detail
   */
  close(code, detail) {
    const changed = new Map(this.#changed);
    for (const lane of [...this.#lanes.values()]) {
      while (lane.queue.length) this.#fail(lane, new SendFailed(code, detail, { outcome: outcomeOf(lane.queue[0]) }));
    }
    this.#changed = changed;
  }

  /** One that failed, to be added again; undefined where there is none with this ref. @param {string} ref */
  failedDraft(ref) {
    return this.#failed.get(ref)?.draft;
  }

  /** Not to be sent, or not again. @param {string} ref */
  discard(ref) {
    const lane = this.#lanes.get(this.#refs.get(ref) ?? "");
    const pending = lane?.queue.find((each) => each.draft.ref === ref);
    if (lane && pending) {
      const outcome = outcomeOf(pending);
      this.#take(lane, pending).answer.reject(new SendFailed("discarded", "by the application", { outcome, retryable: false }));
    } else if (this.#failed.delete(ref)) this.#note(ref, null);
  }

  /**
   * The lane whose first send the error is about: found by its ref, which instances always repeat where they can read it.
   *
   * @param {ErrorFrame} error
   */
  #laneOf({ ref, conversation_id, client_message_id }) {
    const lane = this.#lanes.get((ref !== undefined && this.#refs.get(ref)) || (conversation_id ?? ""));
    const first = lane?.queue[0].draft;
    const isIt = ref !== undefined ? first?.ref === ref : first?.clientMessageId === client_message_id;
    return isIt ? lane : undefined;
  }

  /**
   * @param {Lane} lane
   * @param {Limits} limits
   */
  #dropExcess(lane, limits) {
    while (lane.queue.length) {
      const found = excess(lane.queue[0].draft, limits);
      if (!found) return;
      this.#fail(lane, new SendFailed(...found, { outcome: outcomeOf(lane.queue[0]), retryable: false }));
    }
  }

  /**
   * @param {Lane} lane
   * @param {ErrorFrame} error
   * @param {number} now
   */
  #tryLater(lane, error, now) {
    const pause = Math.random() * Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(lane.queue[0].tries, 10));
    lane.connection = null;
    lane.notBefore = now + Math.max(pause, Math.min(MAX_PAUSE_MS, error.retry_after_ms ?? 0));
  }

  /**
   * @param {Lane} lane
   * @param {SendFailed} failure
   */
  #fail(lane, failure) {
    const pending = this.#take(lane);
    pending.error = failure;
    this.#keepFailed(pending);
    pending.answer.reject(failure);
  }

  /** @param {Pending} pending */
  #keepFailed(pending) {
    this.#failed.set(pending.draft.ref, pending);
    this.#note(pending.draft.ref, pending);
    if (this.#failed.size > MAX_FAILED) this.discard(/** @type {string} */ (this.#failed.keys().next().value));
  }

  /**
   * @param {string} ref
   * @param {Pending | null} pending
   */
  #note(ref, pending) {
    this.version++;
    const kept = pending && { draft: pending.draft, error: pending.error && { ...pending.error } }; // an Error would lose its fields
    this.#changed.set(ref, kept);
  }

  /**
   * Take a send out of its lane, the first one where none is named.
   *
   * @param {Lane} lane
   * @param {Pending} [pending]
   */
  #take(lane, pending = lane.queue[0]) {
    const at = lane.queue.indexOf(pending);
    lane.queue.splice(at, 1);
    if (!at) {
      lane.connection = null;
      lane.notBefore = 0;
    }
    this.#refs.delete(pending.draft.ref);
    this.#bytes -= pending.draft.frameBytes;
    if (!lane.queue.length) this.#lanes.delete(pending.draft.conversationId);
    this.#note(pending.draft.ref, null);
    return pending;
  }
}

/** @param {Pending} pending */
const outcomeOf = (pending) => (pending.tries ? "unknown" : "refused");
