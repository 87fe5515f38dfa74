/** One socket of the client: opened, kept alive, read until its end. */

import { isFinal } from "./backoff.js";
import { decode } from "./frames.js";
import { deferred } from "./waiting.js";

/** @typedef {import("./frames.js").ServerFrame} ServerFrame */
/** @typedef {import("./frames.js").ErrorFrame} ErrorFrame */
/** @typedef {import("./frames.js").Welcome} Welcome */

const PROTOCOL = "holdfast.v1";
const OPEN_MS = 10_000; // until the welcome
const CLOSE_MS = 2_000;
const PONG_MS = 10_000;
const KEEPALIVE_MS = /** @type {const} */ ([1_000, 3_600_000]); // whatever the service says, it is between these
const LOST = 1006;
const TOKEN_CODES = ["unauthenticated", "token_expired", "token_revoked", "closed_4501", "closed_4502"];

/** A connection was not accepted. */
export class Refused extends Error {
  /**
   * @param {string} code the service's, or `unreachable`
   * @param {string} detail
   * @param {{ isFinal?: boolean, retryAfterMs?: number }} [more] `isFinal`: asking again would be answered in the same way
   */
  constructor(code, detail, { isFinal = false, retryAfterMs = 0 } = {}) {
    super(`${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
    this.isFinal = isFinal;
    this.isToken = isFinal && TOKEN_CODES.includes(code);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Is told of a connection, in this order. All calls come from events of the socket, none of them inside `open`.
 *
 * @typedef {object} Listener
 * @property {(connection: Connection) => void} accepted it has greeted
 * @property {(frame: ServerFrame, connection: Connection) => void} received
 * @property {(connection: Connection) => void} closed
 */

/** An accepted socket. It ends with `close`, `abort` or by itself. */
export class Connection {
  /** 0 while it is open, then why it ended. */
  code = 0;
  /** @type {ErrorFrame | null} the last error that the service named without a command of ours: it comes before it closes */
  reason = null;
  /** @type {import("./greeting.js").Greeting | null} our `hello` on it */
  greeting = null;
  isDraining = false;
  isRefreshing = false;
  isSynced = false;
  /** Sends go out by it. */
  tookOver = deferred();
  #socket;
  #listener;
  #synced = deferred();
  #ended = deferred();
  #heardAt = Date.now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watch;

  /**
   * @param {WebSocket} socket
   * @param {Welcome} welcome
   * @param {Listener} listener
   */
  constructor(socket, welcome, listener) {
    this.#socket = socket;
    this.welcome = welcome;
    this.#listener = listener;
    this.#look();
  }

  /** Replay is over. */
  get synced() {
    return this.#synced.promise;
  }

  get ended() {
    return this.#ended.promise;
  }

  get isEnded() {
    return this.code !== 0;
  }

  /**
   * Connect and wait for `welcome`. Throws Refused.
   *
   * @param {string} url
   * @param {string} token
   * @param {Listener} listener
   * @param {AbortSignal} signal
   * @returns {Promise<Connection>}
   */
  static open(url, token, listener, signal) {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const socket = opened(url, token);
      /** @type {Connection | null} */
      let connection = null;
      /** @param {Error} why */
      const refuse = (why) => {
        if (connection) return;
        settled();
        reject(why);
        leave(socket);
      };
      const stop = () => refuse(signal.reason);
      const timer = setTimeout(() => refuse(new Refused("unreachable", `${url}: no welcome within ${OPEN_MS / 1000} s`)), OPEN_MS);
      const settled = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", stop);
      };
      signal.addEventListener("abort", stop);
      socket.onmessage = ({ data }) => {
        const frame = decode(data);
        if (connection) connection.#received(frame);
        else if (frame?.type === "welcome") {
          settled();
          connection = new Connection(socket, frame, listener);
          listener.accepted(connection);
          resolve(connection);
        } else refuse(refusal(url, frame));
      };
      socket.onclose = ({ code }) => {
        if (connection) connection.#end(code);
        else refuse(closedEarly(url, code));
      };
      socket.onerror = () => (connection ? connection.close() : refuse(closedEarly(url, LOST))); // Node may not say `close` after it
    });
  }

  /** Write one frame; nothing happens when the socket has ended. @param {object} frame */
  send(frame) {
    this.write(JSON.stringify(frame));
  }

  /** Write one frame that is encoded already. @param {string} text */
  write(text) {
    if (!this.isEnded && this.#socket.readyState === 1) this.#socket.send(text);
  }

  /** Note that replay is over: the owner has looked at the frame. */
  setSynced() {
    this.isSynced = true;
    this.#synced.resolve();
  }

  /** End it politely, within 2 s. */
  async close() {
    if (this.isEnded) return;
    this.#socket.onerror = null;
    this.#socket.close(1000);
    const timer = setTimeout(() => this.#end(LOST), CLOSE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  /** End it now: what still comes is not listened to. */
  abort() {
    this.#end(LOST);
  }

  /** @param {ServerFrame | null} frame */
  #received(frame) {
    this.#heardAt = Date.now();
    if (frame && !this.isEnded) this.#listener.received(frame, this);
  }

  /** @param {number} code */
  #end(code) {
    if (this.isEnded) return;
    this.code = code || LOST;
    clearTimeout(this.#watch);
    leave(this.#socket);
    this.#listener.closed(this);
    this.#ended.resolve();
  }

  /** After `keepalive_ms` of silence ask; 10 s later let go. */
  #look() {
    this.#heardAt = Math.min(this.#heardAt, Date.now()); // the clock may have been set back
    const silence = Date.now() - this.#heardAt;
    const [least, most] = KEEPALIVE_MS;
    const keepalive = Math.min(most, Math.max(least, this.welcome.keepalive_ms));
    if (silence < keepalive) this.#watch = setTimeout(() => this.#look(), keepalive - silence);
    else {
      const before = this.#heardAt;
      this.send({ type: "ping" });
      this.#watch = setTimeout(() => (this.#heardAt === before ? this.abort() : this.#look()), PONG_MS);
    }
  }
}

/**
 * A page cannot set a header: the token is one of the subprotocols.
 *
 * @param {string} url
 * @param {string} token
 */
function opened(url, token) {
  try {
    return new WebSocket(url, [PROTOCOL, `bearer.${token}`]);
  } catch {
    throw new Refused("unreachable", `${url}: no socket can be opened to it from here`);
  }
}

/** Without listening any more: in Node `close` inside of `error` is an error again. @param {WebSocket} socket */
function leave(socket) {
  socket.onmessage = socket.onerror = socket.onclose = null;
  socket.close();
}

/**
 * The service tells a page why it refuses a connection in a frame, since a page cannot see an answer before the upgrade.
 *
 * @param {string} url
 * @param {ServerFrame | null} frame
 */
function refusal(url, frame) {
  if (frame?.type !== "error") return new Refused("unreachable", `${url}: does not begin with a welcome`);
  return new Refused(frame.code, frame.detail, { isFinal: !frame.retryable, retryAfterMs: Number(frame.retry_after_ms) || 0 });
}

/**
 * @param {string} url
 * @param {number} code
 */
function closedEarly(url, code) {
  if (code !== 1000 && isFinal(code)) return new Refused(`closed_${code}`, "the service refuses this connection", { isFinal: true });
  return new Refused("unreachable", `${url}: no connection`);
}
