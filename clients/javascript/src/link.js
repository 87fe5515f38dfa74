/** The client's way to the service: one connection, and the next one before it ends where the service says so in time. */

import { baseUrls } from "./addresses.js";
import { isFinal, isOurMistake, pause } from "./backoff.js";
import { Connection, Refused } from "./connection.js";
import { ClientStopped } from "./errors.js";
import { TokenUnavailable } from "./tokens.js";
import { Bell, deferred, now, randomId, sleep } from "./waiting.js";

/** @typedef {import("./frames.js").ServerFrame} ServerFrame */
/** @typedef {import("./frames.js").ErrorFrame} ErrorFrame */
/**
 * The user of the link.
 *
 * @typedef {object} Owner
 * @property {(connection: Connection) => import("./greeting.js").Greeting} hello the first frame on a new connection, as it is now
 * @property {(connection: Connection) => boolean} hasInFlight whether an error that names no command may be about a send
 * @property {() => void} opening a connection is asked for
 * @property {(connection: Connection) => void} opened a connection was accepted; its frames come from now on
 * @property {(code: string, detail: string) => void} refused no connection is accepted now; it is tried again
 * @property {(ms: number) => void} waiting before the next attempt
 * @property {(connection: Connection) => void} tookOver sends go out by this connection from now on
 * @property {(frame: ServerFrame, connection: Connection) => void} received
 * @property {(connection: Connection) => void} closed whatever was in flight on it has no answer
 */

const SYNC_MS = 30_000;
const TOKENS_REFUSED = 3; // of a function, in a row, before it is believed that no better one comes
const LONGEST = 10; // the attempt from which on the pauses are the longest
const LASTING_MS = 10_000; // a connection that ends sooner counts as one more attempt: else an unlucky fleet is stormed

export class Link {
  /** @type {Connection | null} the connection that sends go to */
  current = null;
  #at = 0;
  #attempt = 0; // in a row, without a connection that lasted
  /** @type {Connection | null} */
  #successor = null;
  /** @type {Promise<unknown> | null} the attempt to open a successor, while it lasts */
  #opening = null;
  /** @type {Error | null} */
  #failure = null;
  /** @type {Set<import("./waiting.js").Deferred<never>>} what ends with a failure */
  #waits = new Set();
  #hurry = new Bell();

  /**
   * @param {unknown} urls
   * @param {import("./tokens.js").Tokens} tokens
   * @param {Owner} owner
   * @param {AbortSignal} signal
   */
  constructor(urls, tokens, owner, signal) {
    this.bases = baseUrls(urls);
    /** Where the last connection was accepted, for REST. */
    this.baseUrl = /** @type {string} */ (this.bases[0]);
    /** Whose the last connection is; "" before the first. */
    this.userId = "";
    this.tokens = tokens;
    this.owner = owner;
    this.signal = signal;
  }

  /** Connect, and connect again, until the signal. Throws ClientStopped where the service told us not to come back. */
  async run() {
    let connection = await this.#establish();
    for (;;) {
      if (connection !== this.current) this.#takeOver(connection);
      const tookOverAt = now();
      await this.#unlessFailed(connection.ended);
      const lasted = connection.isSynced && now() - tookOverAt >= LASTING_MS;
      this.#attempt = lasted ? 0 : this.#attempt + 1;
      const following = await this.#following(connection);
      if (following) {
        connection = following;
        continue;
      }
      if (isFinal(connection.code)) throw toldToStop(connection);
      if (isOurMistake(connection.code)) this.#attempt = LONGEST;
      await this.#pause(pause(this.#attempt - 1));
      connection = await this.#establish();
    }
  }

  /** Do not wait any longer before the next attempt. */
  hurry() {
    this.#hurry.ring();
  }

  /** Leave politely, within 2 s. */
  async close() {
    await Promise.all([this.current, this.#successor].map((connection) => connection?.close()));
  }

  /** Whether another connection took over, or is replayed and about to. @param {Connection} connection */
  hasOther(connection) {
    const next = this.#successor;
    const isReady = next !== null && next !== connection && next.isSynced && !next.isEnded;
    return isReady || (this.current !== null && this.current !== connection);
  }

  /** @param {Connection} connection */
  #takeOver(connection) {
    this.#refuseWhenOver(connection);
    this.current = connection;
    if (this.#successor === connection) this.#successor = null;
    connection.tookOver.resolve();
    this.owner.tookOver(connection);
  }

  /** A connection that was accepted when the client had ended: `close` did not know of it. @param {Connection} connection */
  #refuseWhenOver(connection) {
    if (this.signal.aborted) connection.close();
    this.signal.throwIfAborted();
  }

  /**
   * The one that took over, is there, or is under way: another attempt beside it would load the other instances twice.
   *
   * @param {Connection} ended
   */
  async #following(ended) {
    if (this.current !== ended) return this.current;
    this.current = null;
    if (this.#opening) await this.#unlessFailed(this.#opening.catch(() => {}));
    const successor = this.#successor;
    this.#successor = null;
    return successor?.isEnded ? null : successor;
  }

  async #establish() {
    for (let refused = 0; ; ) {
      try {
        return await this.#unlessFailed(this.#open());
      } catch (error) {
        const isToken = isAboutToken(error);
        if (isToken) refused++;
        const isOver = isToken ? this.tokens.isStatic || refused >= TOKENS_REFUSED : error instanceof Refused && error.isFinal;
        if (isOver) throw stopFor(error);
        await this.#pauseAfter(error);
      }
    }
  }

  /** Throws again what is no refusal. @param {unknown} error */
  async #pauseAfter(error) {
    const isRefused = error instanceof Refused;
    if (!isRefused && !(error instanceof TokenUnavailable)) throw error;
    if (isRefused) this.owner.refused(error.code, error.detail);
    else this.owner.refused("token_unavailable", error.message);
    this.#attempt++;
    await this.#pause(pause(this.#attempt - 1, isRefused ? error.retryAfterMs : 0));
  }

  /** @param {number} ms */
  async #pause(ms) {
    this.owner.waiting(ms);
    this.#hurry.mute();
    await this.#unlessFailed(this.#hurry.heard(this.signal, ms));
  }

  /** @returns {Promise<Connection>} */
  async #open() {
    const base = /** @type {string} */ (this.bases[this.#at++ % this.bases.length]);
    const token = await this.tokens.fresh();
    this.signal.throwIfAborted();
    this.owner.opening();
    this.signal.throwIfAborted(); // its listeners may have closed the client
    const listener = {
      accepted: (/** @type {Connection} */ connection) => this.#accepted(connection, base),
      received: (/** @type {ServerFrame} */ frame, /** @type {Connection} */ connection) => this.#received(frame, connection),
      closed: (/** @type {Connection} */ connection) => this.owner.closed(connection),
    };
    return Connection.open(`${base.replace("http", "ws")}/ws`, token, listener, this.signal);
  }

  /**
   * @param {Connection} connection
   * @param {string} base
   */
  #accepted(connection, base) {
    this.baseUrl = base;
    this.userId = connection.welcome.user_id;
    this.owner.opened(connection);
    connection.greeting = this.owner.hello(connection);
    connection.write(connection.greeting.text);
  }

  /**
   * @param {ServerFrame} frame
   * @param {Connection} connection
   */
  #received(frame, connection) {
    if (frame.type === "error") this.#judge(frame, connection);
    this.owner.received(frame, connection);
    if (frame.type === "synced") connection.setSynced();
    else if (frame.type === "draining" && !connection.isDraining) {
      connection.isDraining = true;
      this.#guard(this.#handOver(connection, frame.reconnect_after_ms));
    } else if (frame.type === "token_expiring" && !connection.isRefreshing) {
      connection.isRefreshing = true;
      this.#guard(this.#refresh(connection));
    }
  }

  /**
   * An error about the connection, or about our `hello`: the same one would be refused again and again.
   *
   * @param {ErrorFrame} error
   * @param {Connection} connection
   */
  #judge(error, connection) {
    const isAboutHello = error.ref !== undefined && error.ref === connection.greeting?.ref;
    if (!isAboutHello && (error.ref !== undefined || error.conversation_id !== undefined)) return;
    connection.reason = error;
    if (connection.isSynced) return;
    if (error.retryable) {
      if (isAboutHello) connection.abort();
    } else if (error.code !== "token_expired" && (isAboutHello || !this.owner.hasInFlight(connection))) {
      this.#fail(new ClientStopped(error.code, error.detail));
    }
  }

  /**
   * Make before break: the next connection is replayed before the old one, which is about to be closed, is let go.
   *
   * If the old one ends before that, `run` goes on with the next one, as far as it is.
   *
   * @param {Connection} old
   * @param {number} afterMs
   */
  async #handOver(old, afterMs) {
    await sleep(this.signal, afterMs + (this.#attempt ? pause(this.#attempt - 1) : 0));
    await Promise.race([old.tookOver.promise, old.ended]); // the successor of another one is told to leave, too
    while (!old.isEnded) {
      const successor = await this.#openSuccessor();
      if (!successor) continue;
      await Promise.race([successor.synced, successor.ended, old.ended, sleep(this.signal, SYNC_MS)]);
      if (old.isEnded) return;
      if (successor.isSynced && !successor.isEnded) {
        this.#takeOver(successor);
        await old.close();
        return;
      }
      this.#successor = null;
      await successor.close();
      await sleep(this.signal, pause(this.#attempt++));
    }
  }

  /** null where none was accepted, after a pause. */
  async #openSuccessor() {
    const opening = this.#open();
    this.#opening = opening;
    try {
      const successor = await opening;
      this.#refuseWhenOver(successor);
      return (this.#successor = successor);
    } catch (error) {
      this.#opening = null;
      await this.#pauseAfter(error);
      return null;
    } finally {
      this.#opening = null;
    }
  }

  /** Before the token expires; after that the connection is closed, and the next one asks for a token anyway. @param {Connection} old */
  async #refresh(old) {
    for (let attempt = 0; !this.tokens.isStatic && !old.isEnded; attempt++) {
      try {
        old.send({ type: "refresh", ref: randomId(), token: await this.tokens.fresh() });
        break;
      } catch (error) {
        if (!(error instanceof TokenUnavailable)) throw error;
        await sleep(this.signal, pause(attempt));
      }
    }
    old.isRefreshing = false;
  }

  /** A ClientStopped is said again when `run` asks for the next connection. @param {Promise<void>} work */
  #guard(work) {
    work.catch((error) => error instanceof ClientStopped || this.#fail(error));
  }

  /**
   * What comes of it. Each wait has a promise of its own: all that ever raced with one that lasts would stay in memory with it.
   *
   * @template T
   * @param {Promise<T>} work
   */
  async #unlessFailed(work) {
    /** @type {import("./waiting.js").Deferred<never>} */
    const wait = deferred();
    this.#waits.add(wait);
    if (this.#failure) wait.reject(this.#failure);
    try {
      return await Promise.race([work, wait.promise]);
    } finally {
      this.#waits.delete(wait);
    }
  }

  /** Let `run` end with it. @param {Error} error */
  #fail(error) {
    this.#failure ??= error;
    for (const wait of this.#waits) wait.reject(this.#failure);
    for (const connection of [this.current, this.#successor]) connection?.abort();
  }
}

/** @param {unknown} error */
const isAboutToken = (error) => (error instanceof Refused && error.isToken) || (error instanceof TokenUnavailable && error.isInvalid);

/** @param {unknown} error */
const stopFor = (error) =>
  error instanceof Refused
    ? new ClientStopped(error.code, error.detail)
    : new ClientStopped("unauthenticated", error instanceof Error ? error.message : "no token");

/** @param {Connection} connection */
const toldToStop = ({ reason, code }) =>
  reason
    ? new ClientStopped(reason.code, reason.detail)
    : new ClientStopped(`closed_${code}`, "the service ended the connection for good");
