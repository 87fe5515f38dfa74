/**
 * The parts of a client, connected: frames of the link lead to the inbox, the outbox and events.
 *
 * `streams` decides which messages are shown, `inbox` holds them for the application, `outbox` holds sends without an answer, `link`
 * is the way to the service, and `holes` fetches messages that the socket did not bring.
 */

import { isOurMistake } from "./backoff.js";
import { excess } from "./checks.js";
import { Commands } from "./commands.js";
import { ClientStopped, SendFailed } from "./errors.js";
import { Events } from "./events.js";
import { greetingOf, resetsOf } from "./greeting.js";
import { Holes } from "./holes.js";
import { Inbox } from "./inbox.js";
import { Link } from "./link.js";
import { Outbox } from "./outbox.js";
import { Position } from "./position.js";
import { ReadCursors } from "./readCursors.js";
import { Rest } from "./rest.js";
import { Tokens } from "./tokens.js";
import { Bell, deferred, now } from "./waiting.js";

/** @typedef {import("./checks.js").Draft} Draft */
/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./events.js").State} State */
/** @typedef {import("./frames.js").Ack} Ack */
/** @typedef {import("./frames.js").ErrorFrame} ErrorFrame */
/** @typedef {import("./frames.js").Message} Message */
/** @typedef {import("./frames.js").MessageFrame} MessageFrame */
/** @typedef {import("./frames.js").Reset} Reset */
/** @typedef {import("./frames.js").ServerFrame} ServerFrame */
/** @typedef {import("./frames.js").Synced} Synced */
/** @typedef {import("./link.js").Owner} Owner */

const TICK_MS = 15_000; // sends without an answer, and those that are too old, are looked for this often
const TOLD = new Set(["conversation", "degraded", "presence", "receipt", "reset", "restored", "typing"]);

const CHANGES = new Set(["conversation", "truncated"]); // what conversations there are

/** @implements {Owner} */
export class Engine {
  inbox = new Inbox();
  outbox = new Outbox();
  events = new Events();
  commands = new Commands();
  /** Rung when there may be a message to take, or never will be. */
  news = new Bell();
  /** @type {State} */
  state = { name: "idle" };
  /** @type {ClientStopped | null} */
  stopped = null;
  #over = new AbortController();
  #readCursors = new ReadCursors();
  #replayed = deferred();
  #reason = { code: "", detail: "" };
  /** @type {import("./frames.js").Limits | null} */
  #limits = null;
  #outboxVersion = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {{ urls: string[], token: import("./tokens.js").Token, name: string, store: import("./store.js").Store }} options */
  constructor({ urls, token, name, store }) {
    const { signal } = this.#over;
    const tokens = new Tokens(token, signal);
    this.name = name;
    this.link = new Link(urls, tokens, this, signal);
    this.rest = new Rest(this.link, tokens, signal);
    this.holes = new Holes(this.inbox, this.rest, this);
    this.position = new Position(this.inbox, this.outbox, store, this.events);
  }

  /** Until the end. @param {boolean} isLoading the store says where to go on */
  async run(isLoading) {
    try {
      if (isLoading) await this.position.load();
      this.position.takeLeft((send) => this.#restore(send), this.#over.signal);
      await Promise.race([this.link.run(), this.holes.run(this.#over.signal)]);
    } catch (error) {
      this.stop(error instanceof ClientStopped ? error : new ClientStopped("internal_error", `a defect: ${error}`));
    }
  }

  /** Resolved when what was missed is replayed. */
  get replayed() {
    return this.#replayed.promise;
  }

  /**
   * Queue a send. Whether the answer is listened to is for the application to decide: a failure is in the outbox too.
   *
   * @param {Draft} draft
   * @returns {Promise<Ack>}
   */
  add(draft) {
    if (this.stopped) throw this.stopped;
    if (this.state.name === "idle") throw new ClientStopped("not_started", "call start() first");
    const found = this.#limits && excess(draft, this.#limits);
    if (found) throw new SendFailed(...found, { retryable: false });
    /** @type {import("./waiting.js").Deferred<Ack>} */
    const answer = deferred();
    this.outbox.add({ ...draft, addedAt: Date.now() }, answer, now());
    this.flush();
    return answer.promise;
  }

  /** Write what is due, and come back when more is. */
  flush() {
    const at = now();
    this.outbox.expire(at);
    const connection = this.link.current;
    if (connection && !connection.isEnded) {
      const due = this.outbox.due(connection, at, connection.welcome.limits, Date.now());
      for (const { text } of due) connection.write(text);
    }
    if (this.outbox.version !== this.#outboxVersion) {
      this.#outboxVersion = this.outbox.version;
      this.position.keep(false);
      this.events.tell({ type: "outbox" });
    }
    clearTimeout(this.#timer); // here: a listener that sends has set one
    if (!this.stopped) this.#timer = setTimeout(() => this.flush(), Math.min(TICK_MS, this.outbox.nextAt(at) - at));
  }

  /** Nothing comes any more; the first reason counts. @param {ClientStopped} why */
  stop(why) {
    if (this.stopped) return;
    this.stopped = why;
    this.#over.abort(why);
    this.link.close();
    this.outbox.close(why.code, why.detail);
    this.flush();
    this.news.ring();
    this.position.end();
    this.#replayed.reject(why);
    this.#setState({ name: "stopped", reason: { code: why.code, detail: why.detail } });
  }

  // --- the link's owner ---------------------------------------------------------------------------------------------

  /** @param {Connection} connection */
  hello(connection) {
    return greetingOf(this.inbox.streams, connection.welcome.limits, this.name);
  }

  /** @param {Connection} connection */
  hasInFlight(connection) {
    return this.outbox.hasInFlight(connection);
  }

  opening() {
    if (!this.link.current) this.#setState({ name: "connecting" });
  }

  /** @param {Connection} connection */
  opened({ welcome }) {
    if ((this.position.store.userId ?? welcome.user_id) !== welcome.user_id) {
      this.stop(new ClientStopped("store_failed", "the store is another user's"));
    }
    this.#limits = welcome.limits;
    this.events.tell(welcome);
  }

  /**
   * @param {string} code
   * @param {string} detail
   */
  refused(code, detail) {
    this.#reason = { code, detail };
    this.events.tell({ type: "unreachable", code, detail });
  }

  /** @param {number} ms */
  waiting(ms) {
    if (!this.link.current) this.#setState({ name: "waiting", retryAt: new Date(Date.now() + ms), reason: this.#reason });
  }

  /** @param {Connection} connection */
  tookOver(connection) {
    this.#setState({ name: connection.isSynced ? "open" : "syncing" });
    this.flush();
  }

  /**
   * @param {ServerFrame} frame
   * @param {Connection} connection
   */
  received(frame, connection) {
    if (this.stopped) return;
    if (frame.type === "message") this.#offer(frame);
    else if (frame.type === "ack") this.outbox.acknowledged(frame);
    else if (frame.type === "error") this.commands.failed(frame) || this.outbox.failed(frame, now());
    else if (frame.type === "ok") this.commands.answered(frame);
    else if (frame.type === "truncated") this.inbox.streams.truncated(frame.conversation_id, frame.from_seq, frame.to_seq);
    else if (frame.type === "reset") this.#reset(frame);
    else if (frame.type === "synced") this.#synced(frame, connection);
    else if (frame.type === "conversation") this.inbox.streams.changed(frame, this.link.userId);
    else if (frame.type === "receipt" && !this.#readCursors.moved(frame)) return;
    if (CHANGES.has(frame.type)) this.inbox.follow();
    this.holes.look();
    if (TOLD.has(frame.type)) this.events.tell(/** @type {import("./frames.js").Told} */ (frame));
    if (frame.type === "ack" || frame.type === "error") this.flush();
  }

  /** @param {Connection} connection */
  closed(connection) {
    const { reason, code } = connection;
    if (isOurMistake(code)) {
      const isSaid = reason !== null && CLOSED_FOR.get(reason.code) === code;
      const said = isSaid ? reason : { code: `closed_${code}`, detail: "the socket was closed for what was written to it" };
      this.outbox.blamed(connection, said.code, said.detail);
    }
    this.outbox.lost(connection);
    this.commands.lost(connection);
    this.flush();
    if (this.stopped || this.link.hasOther(connection)) return;
    this.#replayed = this.#replayed.isSettled ? deferred() : this.#replayed;
    this.#reason = { code: reason?.code ?? `closed_${code}`, detail: reason?.detail ?? "the connection ended" };
    this.events.tell({ type: "disconnected", code, error: reason?.code ?? "" });
  }

  // --- what frames lead to ------------------------------------------------------------------------------------------

  /** By REST. @param {MessageFrame | Reset} frame */
  found(frame) {
    if (frame.type === "message") this.#offer(frame);
    else {
      this.#reset(frame);
      this.events.tell(frame);
    }
  }

  /** A send of a client that has ended, as old as it is and under its id. @param {import("./store.js").KeptSend} send */
  #restore({ draft, error }) {
    draft.triedAt ??= draft.addedAt;
    const at = now() - Math.max(0, Date.now() - draft.addedAt);
    this.outbox.add(draft, deferred(), at, error && new SendFailed(error.code, error.detail, error));
    this.flush();
  }

  /** @param {MessageFrame} frame */
  #offer({ type: _, ...message }) {
    if (this.inbox.offer(message)) this.news.ring();
  }

  /** @param {Reset} frame */
  #reset({ conversation_id, last_seq }) {
    this.inbox.reset(conversation_id, last_seq);
    this.#readCursors.forget(conversation_id);
  }

  /**
   * @param {Synced} frame
   * @param {Connection} connection
   */
  #synced(frame, { welcome, greeting }) {
    const { streams } = this.inbox;
    const resumed = streams.cursors !== null;
    if (greeting) {
      for (const reset of resetsOf(greeting, welcome.generation, frame.heads)) this.found(reset);
      streams.synced(frame, greeting.number, greeting.leftOut);
    }
    streams.generation = welcome.generation || streams.generation;
    this.inbox.follow();
    this.position.keep();
    this.#replayed.resolve();
    if (this.link.current?.welcome === welcome) this.#setState({ name: "open" });
    this.events.tell(frame);
    this.events.tell({ type: "connected", instance_id: welcome.instance_id, connection_id: welcome.connection_id, resumed });
  }

  /** @param {State} state */
  #setState(state) {
    if (this.state.name === "stopped" || (state.name !== "waiting" && state.name === this.state.name)) return;
    this.state = state;
    this.events.tell({ type: "state", state });
  }
}

/** Close codes that blame what was written, by the error that names the reason before. */
const CLOSED_FOR = new Map([
  ["unsupported_media_type", 1003],
  ["frame_too_large", 1009],
]);
