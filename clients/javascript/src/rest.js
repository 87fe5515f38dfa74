/** REST, as docs/protocol.md has it. Only the service's own answers are believed, everything else comes from something in between. */

import { checkId, checkMetadata } from "./checks.js";
import { RestFailed, SendFailed } from "./errors.js";
import { isMessage, isSeq } from "./frames.js";
import { TokenUnavailable } from "./tokens.js";
import { randomId } from "./waiting.js";

/** @typedef {import("./frames.js").Message} Message */
/** @typedef {Record<string, any> & { conversation_id: string, last_seq: number }} Conversation */
/** @typedef {{ messages: (Message & { read_by: string[] })[], has_more: boolean, last_seq: number }} History */

const ANSWER_MS = 10_000;
const PROBLEM = "urn:holdfast:problem:";
const MAX_DETAIL = 300;
const NOT_CONNECTED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]); // Node says so, a page cannot

/** There was no connection: the call was not carried out. */
class Unreached extends RestFailed {}

/**
 * The service's problem document in an answer; null when the answer is not the service's.
 *
 * @param {any} body
 */
function problemIn(body) {
  const isOurs = typeof body?.code === "string" && body.type === PROBLEM + body.code && typeof body.detail === "string";
  return isOurs && typeof body.retryable === "boolean" ? body : null;
}

/**
 * `baseUrl` and `userId`: where the last connection was accepted, and whose it is; `bases`: all addresses.
 *
 * @typedef {{ readonly baseUrl: string, readonly bases: readonly string[], readonly userId: string }} Place
 */

/**
 * Calls fail with RestFailed. One is repeated by itself once with a new token where the first was refused, and at the other addresses
 * where one has no answer of the service, if the repetition is harmless.
 */
export class Rest {
  #place;
  #tokens;
  #signal;

  /**
   * @internal
   * @param {Place} place
   * @param {import("./tokens.js").Tokens} tokens
   * @param {AbortSignal} signal
   */
  constructor(place, tokens, signal) {
    this.#place = place;
    this.#tokens = tokens;
    this.#signal = signal;
  }

  /**
   * A conversation with these users and the caller. With an id of yours the call can be repeated; else it has a random one.
   *
   * @param {string[]} members
   * @param {{ title?: string, metadata?: Record<string, unknown>, conversationId?: string }} [more]
   * @returns {Promise<Conversation>}
   */
  async create(members, { title, metadata, conversationId = randomId() } = {}) {
    refusing(() => checkMetadata(metadata));
    return this.call("POST", "/conversations", { members, title, metadata, conversation_id: conversationId });
  }

  /** The conversation of the caller and that user alone. @param {string} userId @returns {Promise<Conversation>} */
  direct(userId) {
    return this.call("PUT", `/conversations/direct/${checked(userId)}`);
  }

  /**
   * The caller's conversations, latest activity first.
   *
   * @param {{ limit?: number, cursor?: string }} [page]
   * @returns {Promise<{ conversations: Conversation[], next_cursor: string | null }>}
   */
  conversations({ limit = 50, cursor = "" } = {}) {
    return this.call("GET", `/conversations?${new URLSearchParams({ limit: String(limit), ...(cursor && { cursor }) })}`);
  }

  /** With its members. @param {string} id @returns {Promise<Conversation>} */
  conversation(id) {
    return this.call("GET", `/conversations/${checked(id)}`);
  }

  /**
   * Messages in ascending order: with `afterSeq` the first ones after it, otherwise the last ones.
   *
   * @param {string} id
   * @param {{ afterSeq?: number, beforeSeq?: number, limit?: number }} [range]
   * @returns {Promise<History>}
   */
  history(id, { afterSeq, beforeSeq, limit = 50 } = {}) {
    const asked = Object.entries({ after_seq: afterSeq, before_seq: beforeSeq, limit }).filter(([, value]) => value !== undefined);
    return this.call("GET", `/conversations/${checked(id)}/messages?${asked.map(([name, value]) => `${name}=${value}`).join("&")}`);
  }

  /** @param {string} id @param {string} userId @returns {Promise<Conversation>} */
  addMember(id, userId) {
    return this.call("PUT", `/conversations/${checked(id)}/members/${checked(userId)}`);
  }

  /** @param {string} id @param {string} userId @returns {Promise<null>} */
  removeMember(id, userId) {
    return this.call("DELETE", `/conversations/${checked(id)}/members/${checked(userId)}`);
  }

  /**
   * Any call under `/api`. Throws RestFailed, or ClientStopped where the client has ended.
   *
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async call(method, path, body) {
    try {
      return await this.#call(method, path, body);
    } catch (error) {
      const isToken = error instanceof RestFailed && error.status === 401;
      if (isToken) this.#tokens.forget();
      if (!isToken || this.#tokens.isStatic || error.retryable) throw error;
      return this.#call(method, path, body);
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   */
  async #call(method, path, body) {
    const isHarmless = method !== "POST" || (body !== undefined && "conversation_id" in body);
    const { baseUrl, bases, userId } = this.#place;
    const isLeaving = method === "DELETE" && path.endsWith(`/members/${userId}`);
    const others = isHarmless ? bases.filter((each) => each !== baseUrl) : [];
    for (let base = baseUrl, mayBeDone = false; ; ) {
      try {
        return await this.#callAt(base, method, path, body);
      } catch (error) {
        if (!(error instanceof RestFailed)) throw error;
        // An attempt whose answer was lost has removed the user, who does not see the conversation any more.
        if (mayBeDone && isLeaving && error.code === "conversation_not_found") return null;
        const next = error.code === "unreachable" && others.shift();
        if (!next) throw error;
        base = next;
        mayBeDone ||= !(error instanceof Unreached);
      }
    }
  }

  /**
   * @param {string} base
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   */
  async #callAt(base, method, path, body) {
    const token = await this.#token();
    const answer = await this.#answer(`${base}/api${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (answer.isOk && answer.isJson) return answer.body;
    const problem = answer.isOk ? null : problemIn(answer.body);
    if (problem) throw new RestFailed(answer.status, problem.code, problem.detail.slice(0, MAX_DETAIL), problem.retryable);
    throw new RestFailed(answer.status, "unreachable", `answered ${answer.status}, and it was not the service`, true);
  }

  async #token() {
    try {
      return await this.#tokens.latest();
    } catch (error) {
      if (!(error instanceof TokenUnavailable)) throw error;
      throw new RestFailed(0, "token_unavailable", error.message, true);
    }
  }

  /**
   * Redirects are not followed: the token is for the address that the application named.
   *
   * @param {string} url
   * @param {RequestInit} request
   */
  async #answer(url, request) {
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(ANSWER_MS)]);
    try {
      const answer = await fetch(url, { ...request, signal, redirect: "manual", cache: "no-store", credentials: "omit" });
      const text = await answer.text();
      return { status: answer.status, isOk: answer.ok, ...parsed(text || "null") };
    } catch (error) {
      if (this.#signal.aborted) throw this.#signal.reason;
      const Failed = NOT_CONNECTED.has(/** @type {any} */ (error)?.cause?.code) ? Unreached : RestFailed;
      throw new Failed(0, "unreachable", error instanceof Error ? error.name : "no answer", true);
    }
  }
}

/** @param {string} text */
function parsed(text) {
  try {
    return { isJson: true, body: JSON.parse(text) };
  } catch {
    return { isJson: false, body: null };
  }
}

/** @param {string} id */
function checked(id) {
  refusing(() => checkId(id, "id"));
  return id;
}

/** What no instance would accept fails before it is asked. @param {() => void} check */
function refusing(check) {
  try {
    check();
  } catch (error) {
    throw error instanceof SendFailed ? new RestFailed(0, error.code, error.detail, false) : error;
  }
}

/**
 * Up to 200 messages after `seq`; null when the conversation is not ours any more, and it is the service that says so.
 *
 * @param {Rest} rest
 * @param {string} id
 * @param {number} seq
 * @param {number} limit
 * @returns {Promise<{ messages: Message[], last_seq: number } | null>}
 */
export async function pageAfter(rest, id, seq, limit) {
  try {
    const page = await rest.call("GET", `/conversations/${id}/messages?after_seq=${seq}&limit=${limit}`);
    const isPage = isSeq(page?.last_seq) && Array.isArray(page.messages) && page.messages.every(isMessage);
    if (!isPage) throw new RestFailed(200, "unreachable", "not a page", true);
    if (page.messages.some((/** @type {Message} */ each) => each.conversation_id !== id)) {
      throw new RestFailed(200, "unreachable", "a page of another conversation", true);
    }
    return page;
  } catch (error) {
    if (error instanceof RestFailed && error.code === "conversation_not_found") return null;
    throw error;
  }
}
