/**
 * What frames do not tell again is asked by REST: the list after each connection, and conversations of which too little is known.
 *
 * One call at a time. A call that may succeed later is repeated, until it does or the next connection makes it needless.
 */

import { pause } from "../backoff.js";
import { RestFailed } from "../errors.js";
import { sleep } from "../waiting.js";

/** @typedef {import("../rest.js").Rest} Rest */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./conversations.js").Conversations} Conversations */
/** @typedef {import("./presence.js").Presences} Presences */
/**
 * @typedef {object} Owner holds what was found
 * @property {Conversations} conversations
 * @property {Presences} presences
 * @property {() => Record<string, number>} cursors of the client: the conversations that are the user's
 * @property {() => void} changed
 */

const ATTEMPTS = 6;
const PAGES = 50;
const PAGE = 200;
const ONE_BY_ONE = 20; // of each kind

/**
 * The answer of a call that can be repeated without harm. Throws RestFailed: it is refused for good, or was too often; or why the
 * signal has ended it.
 *
 * @template T
 * @param {AbortSignal} signal
 * @param {() => Promise<T>} call
 * @param {number} [attempts]
 */
export async function persist(signal, call, attempts = ATTEMPTS) {
  for (let attempt = 0; ; attempt++) {
    try {
      signal.throwIfAborted();
      return await call();
    } catch (error) {
      if (!(error instanceof RestFailed) || !error.retryable || attempt + 1 >= attempts) throw error;
      await sleep(signal, pause(attempt));
    }
  }
}

/** Of one connection. */
export class Refresh {
  #over = new AbortController();
  /** @type {Set<string>} */
  #wanted = new Set();
  #isWorking = true;

  /**
   * @param {Rest} rest
   * @param {Owner} owner
   */
  constructor(rest, owner) {
    this.rest = rest;
    this.owner = owner;
  }

  stop() {
    this.#over.abort();
  }

  /** Ask for the list, then for what it leaves open. Returns whether the list has come. @param {number} [pageSize] */
  async run(pageSize = PAGE) {
    try {
      await this.#list(pageSize);
      this.#wantStrays();
      return true;
    } catch {
      return false; // the next connection asks again; or it is refused for good, and frames tell what there is
    } finally {
      this.#isWorking = false;
      if (!this.#over.signal.aborted) this.#work();
    }
  }

  /** Too little is known of this conversation. @param {string} id @param {boolean} [withMembers] */
  want(id, withMembers = false) {
    if (withMembers) this.owner.conversations.touch(id).wantsMembers = true;
    this.#wanted.add(id);
    this.#work();
  }

  /** Latest activity first, and no further than what is not known yet. @param {number} limit */
  async #list(limit) {
    const { owner, rest } = this;
    for (let cursor = "", page = 0; page < PAGES; page++) {
      const answer = await persist(this.#over.signal, () => rest.conversations({ limit, cursor }), Infinity);
      if (this.#over.signal.aborted) return;
      const cursors = owner.cursors(); // the answer may be older than what frames have told
      for (const summary of answer.conversations) {
        if (Object.hasOwn(cursors, summary.conversation_id)) owner.conversations.learn(summary);
      }
      owner.changed();
      cursor = answer.next_cursor ?? "";
      if (!cursor || !owner.conversations.all.some((each) => each.isStale)) return;
    }
  }

  #wantStrays() {
    const { all, known } = this.owner.conversations;
    const latest = known.sort((one, other) => other.activeAt - one.activeAt);
    const stale = all.filter((each) => each.isStale);
    const behind = latest.filter((each) => each.isBehind);
    const pairs = latest.filter((each) => this.#partner(each));
    for (const { id } of [stale, behind, pairs].flatMap((each) => each.slice(0, ONE_BY_ONE))) this.#wanted.add(id);
  }

  /** One after the other, until there is none. */
  async #work() {
    if (this.#isWorking) return;
    this.#isWorking = true;
    for (const id of this.#wanted) {
      this.#wanted.delete(id);
      await this.#complete(id).catch(() => {}); // refused, too often, or over: a later frame or connection asks again
      if (this.#over.signal.aborted) return;
      this.owner.changed();
    }
    this.#isWorking = false;
  }

  /** @param {string} id */
  async #complete(id) {
    const { conversations } = this.owner;
    const one = conversations.find(id);
    const partner = one && this.#partner(one);
    if (!one || one.isStale || one.wantsMembers) await this.whole(id);
    else if (partner) await this.#presence(partner);
    if (!conversations.find(id)?.isBehind) return;
    const { messages } = await persist(this.#over.signal, () => this.rest.history(id, { limit: 1 }));
    for (const message of messages) if (conversations.find(id)) conversations.touch(id).preview(message);
  }

  /** A conversation with its members, their read cursors and presence. @param {string} id @param {AbortSignal} [signal] */
  async whole(id, signal = this.#over.signal) {
    const { conversations, presences } = this.owner;
    const summary = await persist(signal, () => this.rest.conversation(id));
    if (!conversations.find(id)) return; // the user has left it meanwhile
    conversations.learn(summary).wantsMembers = false;
    for (const { user_id, online, last_seen_at = null } of summary.members) {
      if (online !== undefined) presences.learn(user_id, online, last_seen_at);
    }
  }

  /** @param {string} userId */
  async #presence(userId) {
    const call = () => this.rest.call("GET", `/users/${userId}/presence`);
    const { online, last_seen_at = null } = await persist(this.#over.signal, call);
    this.owner.presences.learn(userId, online, last_seen_at);
  }

  /** The other one of two. @param {Conversation} one */
  #partner({ members, memberCount }) {
    return memberCount === 2 ? members.find((each) => each !== this.owner.conversations.userId) : undefined;
  }
}
