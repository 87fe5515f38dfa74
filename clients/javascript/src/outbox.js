/**
 * Sends on their way: one in flight per conversation, repeated under the same id until they are answered.
 *
 * Pure: time comes in, frames go out. A send lives until its answer, a definite refusal, or `GIVE_UP_MS`. No more of them are in
 * flight on one connection than the instance announces, and they go out at the pace that it announces. One that failed is kept, so
 * that the user can try it again or discard it.
 */

import { excess } from "./checks.js";
import { SendFailed } from "./errors.js";
import { Pace } from "./pace.js";

/** @typedef {import("./checks.js").Draft} Draft */
/** @typedef {import("./frames.js").Ack} Ack */
/** @typedef {import("./frames.js").ErrorFrame} ErrorFrame */
/** @typedef {import("./frames.js").Limits} Limits */
/** @typedef {import("./waiting.js").Deferred<Ack>} Answer */

const GIVE_UP_MS = 24 * 3_600_000; // the store keeps keys for seven days: a repetition is always safe until then
const KEPT_MS = 6 * 24 * 3_600_000; // of the wall clock, which goes on while a machine sleeps: a day less than the store keeps keys
const ANSWER_MS = 60_000; // an instance answers within seconds, be it with an error: after this a send is repeated
const MAX_WAITING = 10_000;
const MAX_WAITING_BYTES = 64 * 1024 * 1024; // 4,000 texts of the largest size
const MAX_FAILED = 1_000; // of more the oldest are forgotten
const FOR_ALL = new Set(["rate_limited", "overloaded"]); // a refusal that would meet any other send, too
const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 10_000;

/** @typedef {{ draft: Draft, answer: Answer, giveUpAt: number, tries: number, error: SendFailed | null }} Pending */
/** @typedef {{ queue: [Pending, ...Pending[]], connection: object | null, sentAt: number, notBefore: number }} Lane */

/** All sends of one client that are not stored yet. */
export class Outbox {
  /** Rises with each change. */
  version = 0;
  /** @type {Map<string, Lane>} by conversation; the one that has its turn next is the first */
  #lanes = new Map();
  /** @type {Map<string, Pending>} by ref, in the order in which they were added */
  #waiting = new Map();
  /** @type {Map<string, Pending>} by ref */
  #failed = new Map();
  /** @type {Map<string, import("./store.js").KeptSend | null>} by ref */
  #changed = new Map();
  #bytes = 0;
  #pace = new Pace();
  #pacedUntil = Infinity;

  /** Those that wait, then those that failed. @returns {Pending[]} */
  get all() {
    return [...this.#waiting.values(), ...this.#failed.values()];
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
    if (this.#waiting.has(draft.ref)) return;
    if (this.#waiting.size >= MAX_WAITING || this.#bytes + draft.frameBytes > MAX_WAITING_BYTES) {
      throw new SendFailed("overloaded", `${this.#waiting.size} sends with ${this.#bytes} bytes are waiting`);
    }
    const id = draft.conversationId;
    const pending = { draft, answer, giveUpAt: now + GIVE_UP_MS, tries: 0, error };
    if (error) return this.#keepFailed(pending);
    this.#failed.delete(draft.ref);
    this.#waiting.set(draft.ref, pending);
    this.#bytes += draft.frameBytes;
    const lane = this.#lanes.get(id);
    if (lane) lane.queue.push(pending);
    else this.#lanes.set(id, { queue: [pending], connection: null, sentAt: 0, notBefore: 0 });
    this.#note(draft.ref, pending);
  }

  /**
   * The frames to write to `connection` now; conversations take turns. A send over its limits fails instead, and the next one is tried.
   * One that was written so long ago that the store may have forgotten its key fails, too: it would be stored twice.
   *
   * @param {object} connection
   * @param {number} now
   * @param {Limits} limits
   * @param {number} wall the time of the clock on the wall
   * @returns {Draft[]}
   */
  due(connection, now, limits, wall) {
    /** @type {Draft[]} */
    const drafts = [];
    const free = (limits.inflight_sends || Infinity) - this.#inFlight(connection).length;
    this.#pacedUntil = Infinity;
    for (const lane of this.#lanes.values()) {
      if (lane.connection || lane.notBefore > now) continue; // those of this call, too: they are at the end now
      if (drafts.length >= free) break;
      if (this.#pace.nextAt > now) {
        this.#pacedUntil = this.#pace.nextAt;
        break;
      }
      this.#dropUnfit(lane, limits, wall);
      if (!lane.queue.length) continue;
      this.#pace.sent(now, limits);
      const draft = this.#begin(lane, connection, now);
      draft.triedAt ??= wall;
      drafts.push(draft);
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

  /** When something becomes due by itself, as of the last `due`. @param {number} now */
  nextAt(now) {
    const times = [this.#pacedUntil, ...[...this.#lanes.values()].map((lane) => lane.notBefore)];
    return times.reduce((least, at) => (at > now ? Math.min(least, at) : least), Infinity);
  }

  /** Whether something has no answer yet that was written to this connection. @param {object} connection */
  hasInFlight(connection) {
    return this.#inFlight(connection).length > 0;
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
    for (const lane of this.#inFlight(connection)) lane.connection = null;
  }

  /**
   * The connection ended because of what was written to it: what was in flight is not written again.
   *
   * @param {object} connection
   * @param {string} code
   * @param {string} detail
   */
  blamed(connection, code, detail) {
    for (const lane of this.#inFlight(connection)) {
      this.#fail(lane, new SendFailed(code, detail, { outcome: "unknown", retryable: false }));
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
    const pending = this.#waiting.get(ref);
    const lane = this.#lanes.get(pending?.draft.conversationId ?? "");
    if (lane && pending) {
      const outcome = outcomeOf(pending);
      this.#take(lane, pending).answer.reject(new SendFailed("discarded", "by the application", { outcome, retryable: false }));
    } else if (this.#failed.delete(ref)) this.#note(ref, null);
  }

  /** @param {object} connection */
  #inFlight(connection) {
    return [...this.#lanes.values()].filter((lane) => lane.connection === connection);
  }

  /**
   * The first send of a lane is in flight, and the other conversations are before it the next time.
   *
   * @param {Lane} lane
   * @param {object} connection
   * @param {number} now
   */
  #begin(lane, connection, now) {
    const [first] = lane.queue;
    const id = first.draft.conversationId;
    lane.connection = connection;
    lane.sentAt = now;
    first.tries++;
    this.#lanes.delete(id);
    this.#lanes.set(id, lane);
    return first.draft;
  }

  /**
   * The lane whose first send the error is about: found by its ref, which instances always repeat where they can read it.
   *
   * @param {ErrorFrame} error
   */
  #laneOf({ ref, conversation_id, client_message_id }) {
    const lane = this.#lanes.get(this.#waiting.get(ref ?? "")?.draft.conversationId ?? conversation_id ?? "");
    const first = lane?.queue[0].draft;
    const isIt = ref !== undefined ? first?.ref === ref : first?.clientMessageId === client_message_id;
    return isIt ? lane : undefined;
  }

  /**
   * @param {Lane} lane
   * @param {Limits} limits
   * @param {number} wall
   */
  #dropUnfit(lane, limits, wall) {
    while (lane.queue.length) {
      const [first] = lane.queue;
      const found = excess(first.draft, limits);
      if (isForgotten(first.draft, wall)) this.#fail(lane, forgotten());
      else if (found) this.#fail(lane, new SendFailed(...found, { outcome: outcomeOf(first), retryable: false }));
      else return;
    }
  }

  /**
   * @param {Lane} lane
   * @param {ErrorFrame} error
   * @param {number} now
   */
  #tryLater(lane, error, now) {
    const pause = Math.random() * Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(lane.queue[0].tries, 10));
    const until = now + pause + Math.min(MAX_PAUSE_MS, error.retry_after_ms ?? 0); // not the maximum: all would come at one instant
    lane.connection = null;
    if (FOR_ALL.has(error.code)) this.#pace.pause(until);
    else lane.notBefore = until;
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
    this.#waiting.delete(pending.draft.ref);
    this.#bytes -= pending.draft.frameBytes;
    if (!lane.queue.length) this.#lanes.delete(pending.draft.conversationId);
    this.#note(pending.draft.ref, null);
    return pending;
  }
}

/**
 * Whether the store may not know any more that it stored this one.
 *
 * @param {Draft} draft
 * @param {number} wall
 */
export const isForgotten = ({ triedAt }, wall) => wall - (triedAt ?? wall) >= KEPT_MS;

export const forgotten = () =>
  new SendFailed("expired", "first sent more than six days ago", { outcome: "unknown", retryable: false });

/** @param {Pending} pending */
const outcomeOf = (pending) => (pending.tries ? "unknown" : "refused");
