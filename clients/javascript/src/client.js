/** The client for applications. What it does is in `engine.js`. */

import { checkedCursors, checkedShort, draftOf } from "./checks.js";
import { Engine } from "./engine.js";
import { ClientStopped } from "./errors.js";
import { Messages } from "./messages.js";
import { forgotten, isForgotten } from "./outbox.js";
import { memoryStore } from "./store.js";
import { promised, randomId } from "./waiting.js";

/** @typedef {import("./events.js").ClientEvent} ClientEvent */
/** @typedef {import("./events.js").State} State */
/** @typedef {import("./frames.js").Ack} Ack */
/** @typedef {import("./frames.js").Message} Message */
/** @typedef {import("./frames.js").Ok} Ok */

/**
 * @typedef {object} Options
 * @property {string[]} urls addresses of the service (`https://chat.example.com`); with several, each attempt takes the next
 * @property {import("./tokens.js").Token} token
 * @property {Record<string, number> | null} [cursors] where to go on, in place of what `store` has: `{}` replays everything, null
 *   starts with what is new
 * @property {string} [generation] of the store that `cursors` are of, where it is known
 * @property {import("./store.js").Store} [store] keeps the position and sends; by default in memory
 * @property {string} [name] shows in the service's log, up to 64 characters
 */
/**
 * A send that is not stored. `waiting`: it is sent as soon as possible, and again until it is answered.
 *
 * @typedef {object} Unsent
 * @property {string} id for `retry` and `discard`
 * @property {string} conversationId
 * @property {string} clientMessageId
 * @property {string} body
 * @property {Record<string, unknown> | null} metadata
 * @property {"waiting" | "failed"} state
 * @property {import("./errors.js").SendFailed | null} error why it failed
 */

/** One user's connection to Holdfast: every message shown once and in order, whatever happens to the instances behind it. */
export class Client {
  #engine;
  #isLoading;
  /** @type {Messages | null} the loop that takes them */
  #messages = null;

  /**
   * Connects to nothing yet. Throws TypeError for options that no instance would ever accept.
   *
   * @param {Options} options
   */
  constructor({ urls, token, cursors, generation = "", store = memoryStore(), name = "holdfast-javascript" }) {
    this.#engine = new Engine({ urls, token, name: checkedShort(name, "name", 64), store });
    this.#engine.inbox.begin(checkedCursors(cursors), checkedShort(generation, "generation", 128));
    this.#isLoading = cursors === undefined;
    /** Calls of REST, with the token of the client. */
    this.rest = this.#engine.rest;
    /** Sends that are not stored. */
    this.outbox = new UnsentMessages(this.#engine);
  }

  /** Connect, and stay connected. Idempotent. */
  start() {
    const engine = this.#engine;
    if (engine.state.name === "idle") {
      engine.opening();
      engine.run(this.#isLoading);
      const { signal } = engine.link;
      globalThis.addEventListener?.("online", () => this.retryNow(), { signal });
      globalThis.addEventListener?.("offline", () => engine.link.current?.abort(), { signal }); // no socket would say so for a minute
    }
    return this;
  }

  /** Leave; a call that still waits for an answer fails. Idempotent. */
  async close() {
    this.#engine.stop(new ClientStopped("closed", "the client was closed"));
    await this.#engine.link.close();
    await this.#engine.position.end();
  }

  /** @returns {State} */
  get state() {
    return this.#engine.state;
  }

  /** Conversation -> seq of the last message that the application has done with: to be kept together with the messages. */
  get cursors() {
    return this.#engine.inbox.cursors;
  }

  /** Of the store that `cursors` are of: to be kept with them. */
  get generation() {
    return this.#engine.inbox.streams.generation;
  }

  /** The instance at the other end; empty while there is none. */
  get instanceId() {
    return this.#engine.link.current?.welcome.instance_id ?? "";
  }

  /** Wait until there is a connection and what was missed is replayed. Throws ClientStopped: there will be none. */
  async connected() {
    if (this.#engine.stopped) throw this.#engine.stopped;
    await this.#engine.replayed;
  }

  /** Do not wait for `retryAt`: try now. */
  retryNow() {
    this.#engine.link.hurry();
  }

  /**
   * Every message of the user's conversations, once and in order, their own included; ends when the client is closed. The application
   * has done with a message when it asks for the next one: where the loop is left before, the next loop begins with this message. A
   * new loop ends the one before it. Throws ClientStopped: the service told this client not to come back.
   *
   * @returns {AsyncIterableIterator<Message, void, void>}
   */
  messages() {
    this.#messages?.return();
    return (this.#messages = new Messages(this.#engine));
  }

  /**
   * Be told of events of one type, or of all (`*`). Returns a function that ends it.
   *
   * @template {ClientEvent["type"] | "*"} T
   * @param {T} type
   * @param {(event: T extends "*" ? ClientEvent : Extract<ClientEvent, { type: T }>) => void} listener
   * @returns {() => void}
   */
  on(type, listener) {
    return this.#engine.events.on(type, listener);
  }

  /**
   * Send a message; resolved when it is stored, however many connections that takes. Throws SendFailed: it cannot succeed, was
   * refused for good, or was not stored within a day; or ClientStopped. Of a send that was queued, it need not be awaited: the
   * failure is in `outbox`. It counts as reading up to `readSeq`, by default the last message of the conversation that was taken.
   *
   * @param {string} conversationId
   * @param {string} body
   * @param {{ metadata?: Record<string, unknown> | null, clientMessageId?: string, readSeq?: number }} [more]
   * @returns {Promise<Ack>}
   */
  send(conversationId, body, { metadata = null, clientMessageId = randomId(), readSeq } = {}) {
    return promised(() => {
      readSeq ??= this.#engine.inbox.readSeq(conversationId);
      return this.#engine.add(draftOf({ ref: randomId(), conversationId, clientMessageId, body, metadata, readSeq }));
    });
  }

  /**
   * Everything up to this message is read; returns the cursor as committed. Throws SendFailed: it was refused, or the connection
   * ended first; reading a later message covers this one.
   *
   * @param {string} conversationId
   * @param {string} messageId
   * @returns {Promise<Ok>}
   */
  async read(conversationId, messageId) {
    return this.#engine.commands.read(this.#engine.link.current, conversationId, messageId);
  }

  /**
   * Show others that the user types; to be repeated every 3 s. Nothing happens without a connection. Throws SendFailed.
   *
   * @param {string} conversationId
   * @param {boolean} [active]
   */
  typing(conversationId, active = true) {
    this.#engine.commands.typing(this.#engine.link.current, conversationId, active);
  }
}

/** Sends that are not stored: those that wait, and the last 1,000 that failed. The event `outbox` tells of changes. */
class UnsentMessages {
  #engine;

  /** @param {Engine} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  /** @returns {Unsent[]} */
  get entries() {
    return this.#engine.outbox.all.map(({ draft, error }) => ({
      id: draft.ref,
      conversationId: draft.conversationId,
      clientMessageId: draft.clientMessageId,
      body: draft.body,
      metadata: draft.metadata,
      state: error ? "failed" : "waiting",
      error,
    }));
  }

  /**
   * Send one that failed once more, under the same `clientMessageId`: it is stored once, whatever became of the first attempt.
   * Throws SendFailed (`expired`) six days after the first attempt: the service might store it twice.
   *
   * @param {string} id
   * @returns {Promise<Ack>}
   */
  retry(id) {
    return promised(() => {
      const draft = this.#engine.outbox.failedDraft(id);
      if (!draft) throw new TypeError("no send with this id has failed");
      if (isForgotten(draft, Date.now())) throw forgotten();
      return this.#engine.add(draft);
    });
  }

  /** Do not send it, or not again; one that waits fails. It may be stored where it was sent before. @param {string} id */
  discard(id) {
    this.#engine.outbox.discard(id);
    this.#engine.flush();
  }
}
