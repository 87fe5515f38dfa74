/** The token, and how to get the next one. Nothing of a token or of a function's error stands in what is thrown here. */

import { ClientStopped } from "./errors.js";
import { deferred, sleep } from "./waiting.js";

/**
 * A token, or a function that returns one: asked before every connection and when a token is about to expire.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */

const HOOK_MS = 30_000; // a login service that answers later than this is as good as down
const FORM = /^[\w\-.~+]+$/; // what may stand in a subprotocol of a socket: every JWT does

/** There is no token now: the function is asked again later. `isInvalid`: what came is no token. */
export class TokenUnavailable extends Error {
  /**
   * @param {string} detail
   * @param {boolean} [isInvalid]
   */
  constructor(detail, isInvalid = false) {
    super(detail);
    this.isInvalid = isInvalid;
  }
}

export class Tokens {
  #latest = "";

  /**
   * @param {Token} source
   * @param {AbortSignal} signal
   */
  constructor(source, signal) {
    if (typeof source !== "string" && typeof source !== "function") {
      throw new TypeError(`token: text or a function expected, not ${typeof source}`);
    }
    this.source = source;
    this.signal = signal;
  }

  /** There will never be another one. */
  get isStatic() {
    return typeof this.source === "string";
  }

  /** A token from the function, if there is one. Throws TokenUnavailable, or the ClientStopped that the function threw. */
  async fresh() {
    return (this.#latest = checked(typeof this.source === "string" ? this.source : await this.#asked(this.source)));
  }

  /** The one that was used last, or a fresh one after `forget`. */
  async latest() {
    return this.#latest || this.fresh();
  }

  /** The latest one was refused. */
  forget() {
    this.#latest = "";
  }

  /** @param {() => unknown} hook */
  async #asked(hook) {
    this.signal.throwIfAborted();
    const late = new AbortController();
    const inTime = deferred();
    sleep(late.signal, HOOK_MS).then(
      () => inTime.reject(new TokenUnavailable(`the token function did not answer within ${HOOK_MS / 1000} s`)),
      () => {},
    );
    const stop = () => inTime.reject(this.signal.reason);
    this.signal.addEventListener("abort", stop);
    try {
      return await Promise.race([inTime.promise, hookAnswer(hook)]);
    } finally {
      this.signal.removeEventListener("abort", stop);
      late.abort();
    }
  }
}

/**
 * The function is the application's code: whatever it throws, the login may work again later.
 *
 * @param {() => unknown} hook
 */
async function hookAnswer(hook) {
  try {
    return await hook();
  } catch (error) {
    if (error instanceof ClientStopped) throw error;
    throw new TokenUnavailable(`the token function threw ${error instanceof Error ? error.constructor.name : typeof error}`);
  }
}

/** @param {unknown} token */
function checked(token) {
  if (typeof token !== "string") throw new TokenUnavailable(`the token function gave ${typeof token}, not text`, true);
  if (!token) throw new TokenUnavailable("the token is empty", true);
  if (!FORM.test(token)) {
    throw new TokenUnavailable("the token holds a line end, a space or another character that no JWT has", true);
  }
  return token;
}
