/**
 * What a window shows of one client: frames and answers of REST go in, snapshots come out, and listeners are told of new ones.
 *
 * A snapshot is frozen, and stays the same object until something in it changes. Snapshots are made when they are asked for.
 */

import { RestFailed, SendFailed } from "../errors.js";
import { randomId } from "../waiting.js";
import { ConnectionState } from "./connection.js";
import { Conversations } from "./conversations.js";
import { Presences } from "./presence.js";
import { persist, Refresh } from "./refresh.js";
import { UnsentViews } from "./unsent.js";

/** @typedef {import("../client.js").Client} Client */
/** @typedef {import("../events.js").ClientEvent} ClientEvent */
/** @typedef {import("../frames.js").Ack} Ack */
/** @typedef {import("../frames.js").Message} Message */
/** @typedef {import("../frames.js").ConversationNotice} ConversationNotice */
/** @typedef {import("../frames.js").Synced} Synced */
/** @typedef {import("../rest.js").Conversation} Summary */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/**
 * @typedef {object} ViewOptions
 * @property {number} [messagesKept] of a conversation that is loaded, 1,000; `loadOlder` adds to them, up to ten times as many
 * @property {number} [conversationsLoaded] at a time, 20: of others the last 50 messages are held
 */

const KEPT = 1_000;
const LOADED = 20;
const PAGE = 50;

/** One window's state above a client, which belongs to the view from now on: it takes the client's messages. */
export class ChatView {
  #client;
  #conversations;
  #presences = new Presences();
  #connection = new ConnectionState();
  #unsent;
  #refresh;
  #over = new AbortController();
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #telling;
  #hasConnected = false;
  /** @type {Map<string, Promise<void>>} conversation -> its call of `load` or `loadOlder` */
  #loading = new Map();

  /**
   * Before `client.start()`. Throws TypeError: the client was started.
   *
   * @param {Client} client
   * @param {ViewOptions} [options]
   */
  constructor(client, { messagesKept = KEPT, conversationsLoaded = LOADED } = {}) {
    if (client.state.name !== "idle") throw new TypeError("the view has to be made before its client is started");
    this.#client = client;
    this.#conversations = new Conversations(messagesKept, conversationsLoaded);
    this.#unsent = new UnsentViews(client.outbox);
    this.#refresh = this.#newRefresh();
    client.on("*", (event) => this.#heard(event));
  }

  /** Start the client, and take its messages. Idempotent. */
  start() {
    if (this.#client.state.name === "idle") {
      this.#client.start();
      this.#takeMessages();
    }
    return this;
  }

  /** End the view and its client. Idempotent. */
  async close() {
    this.#over.abort(new RestFailed(0, "closed", "the view was closed", false));
    this.#refresh.stop();
    for (const each of this.#conversations.all) each.forgetTyping();
    await this.#client.close();
  }

  /**
   * Be told when a snapshot is new: once, however many are. Returns a function that ends it. May be passed on without its view.
   *
   * @param {() => void} listener
   * @returns {() => void}
   */
  subscribe = (listener) => {
    const mine = () => listener();
    this.#listeners.add(mine);
    return () => void this.#listeners.delete(mine);
  };

  // --- snapshots ----------------------------------------------------------------------------------------------------

  connection() {
    return this.#connection.view;
  }

  /** Latest activity first. */
  conversations() {
    return this.#conversations.list();
  }

  /** undefined where the user is in no such conversation, or it is not known yet. @param {string} id */
  conversation(id) {
    return this.#conversations.view(id);
  }

  /** Sends that are not stored, of one conversation or of all. @param {string} [conversationId] */
  outbox(conversationId) {
    return this.#unsent.list(conversationId);
  }

  /** undefined where the service has not told of that user. @param {string} userId */
  presence(userId) {
    return this.#presences.of(userId);
  }

  // --- what the user does -------------------------------------------------------------------------------------------

  /**
   * As the client's; the message is in its conversation when the promise is resolved. It need not be awaited. What the user had not
   * read yet stays unread.
   *
   * @param {string} conversationId
   * @param {string} body
   * @param {{ metadata?: Record<string, unknown> | null, clientMessageId?: string, readSeq?: number }} [more]
   * @returns {Promise<Ack>}
   */
  send(conversationId, body, more = {}) {
    const readSeq = this.#conversations.find(conversationId)?.readSeq(this.#conversations.userId) ?? 0;
    return this.#shown(this.#client.send(conversationId, body, { readSeq, ...more }), body, more.metadata);
  }

  /** Send one that failed once more; as the client's. @param {string} id @returns {Promise<Ack>} */
  retry(id) {
    const entry = this.#unsent.list().find((each) => each.id === id);
    return this.#shown(this.#client.outbox.retry(id), entry?.body ?? "", entry?.metadata);
  }

  /** Give up a send; as the client's. @param {string} id */
  discard(id) {
    this.#client.outbox.discard(id);
  }

  /** All messages that are held are read: to be called while the user sees the last one. @param {string} id */
  read(id) {
    const one = this.#conversations.find(id);
    const last = one?.newest;
    const { name, userId } = this.#connection.view;
    if (!one?.isLoaded || !last || name !== "open" || last.seq <= one.readSeq(userId)) return;
    this.#conversations.touch(id).read(userId, last.seq);
    this.#changed();
    this.#client.read(id, last.message_id).catch(() => {}); // the next `synced` says how far it is
  }

  /** Show others that the user types; to be repeated every 3 s. Throws SendFailed. @param {string} id @param {boolean} [active] */
  typing(id, active = true) {
    if (this.#conversations.find(id)?.indicators) this.#client.typing(id, active);
  }

  /**
   * Fetch the newest messages, the members and their read cursors: to be called when a conversation is shown. Throws RestFailed.
   *
   * @param {string} id
   * @returns {Promise<void>}
   */
  load(id) {
    return this.#one(id, async () => {
      if (!this.#hasConnected) await this.#client.connected(); // what comes before is not told
      await this.#loadNewest(id);
    });
  }

  /** Fetch 50 messages before the first one that is held, if there are any. Throws RestFailed. @param {string} id */
  loadOlder(id) {
    return this.#one(id, async () => {
      const one = this.#conversations.find(id);
      if (!one?.isLoaded || !one.hasOlder || one.size >= this.#conversations.kept * 10) return;
      const { resets } = one;
      const page = await persist(this.#over.signal, () => this.#history(id, one.firstSeq));
      if (one.resets === resets && one.isLoaded) this.#conversations.touch(id).addPage(page);
    });
  }

  /** The conversation of the user and that one alone; its id. Throws RestFailed. @param {string} userId */
  async direct(userId) {
    return this.#begun(await persist(this.#over.signal, () => this.#client.rest.direct(userId)));
  }

  /**
   * A conversation with these users; its id. Throws RestFailed.
   *
   * @param {string[]} members
   * @param {{ title?: string, metadata?: Record<string, unknown>, conversationId?: string }} [more]
   */
  async create(members, { conversationId = randomId(), ...more } = {}) {
    const call = () => this.#client.rest.create(members, { conversationId, ...more });
    return this.#begun(await persist(this.#over.signal, call));
  }

  // --- what comes ---------------------------------------------------------------------------------------------------

  async #takeMessages() {
    try {
      for await (const message of this.#client.messages()) this.#came(message);
    } catch {
      // the client has ended: its state says why
    }
  }

  /** @param {Message} message */
  #came(message) {
    const one = this.#conversations.touch(message.conversation_id);
    one.add(message);
    one.type(message.sender, 0, this.#changed);
    if (message.sender === this.#conversations.userId) this.#unsent.arrived(one.id, message.client_message_id);
    if (!one.isKnown) this.#refresh.want(one.id);
    this.#changed();
  }

  /** @param {ClientEvent} event */
  #heard(event) {
    if (event.type === "state") this.#connection.become(event.state);
    else if (event.type === "welcome") this.#greeted(event);
    else if (event.type === "synced") this.#synced(event);
    else if (event.type === "connected") this.#connected();
    else if (event.type === "outbox") this.#unsent.invalidate();
    else if (event.type === "degraded" || event.type === "restored") this.#connection.depend(event);
    else if (event.type === "presence") this.#presences.learn(event.user_id, event.online, event.last_seen_at ?? null);
    else if (event.type === "conversation") this.#noticed(event);
    else if (event.type === "reset") this.#reset(event.conversation_id, event.last_seq);
    else if (event.type === "receipt") this.#conversations.touch(event.conversation_id).read(event.user_id, event.seq);
    else if (event.type === "typing") {
      const ms = event.active ? event.expires_in_ms : 0;
      this.#conversations.touch(event.conversation_id).type(event.user_id, ms, this.#changed);
    } else return;
    this.#changed();
  }

  /** @param {import("../frames.js").Welcome} welcome */
  #greeted(welcome) {
    this.#connection.greet(welcome);
    this.#conversations.userId = welcome.user_id;
    for (const { id } of this.#conversations.all) this.#conversations.touch(id).forgetTyping();
  }

  /** @param {Synced} frame */
  #synced({ heads, revisions, read_seqs = {} }) {
    for (const [id, head] of Object.entries(heads)) {
      const one = this.#conversations.touch(id);
      one.lastSeq = Math.max(one.lastSeq, head);
      one.wantedRevision = revisions[id] ?? 0;
      one.confirmRead(this.#conversations.userId, read_seqs[id] ?? 0);
    }
  }

  /** Presence, read cursors and the list of conversations may have changed meanwhile: no frame repeats them. */
  #connected() {
    this.#hasConnected = true;
    const { cursors } = this.#client;
    this.#refresh.stop();
    const refresh = (this.#refresh = this.#newRefresh());
    for (const one of this.#conversations.all) {
      if (!Object.hasOwn(cursors, one.id)) this.#conversations.delete(one.id);
      else if (one.isLoaded) refresh.want(one.id, true);
    }
    refresh.run(this.#connection.view.limits?.page_size).then((isListed) => {
      if (!isListed) return;
      this.#connection.change({ isListed });
      this.#changed();
    });
  }

  /** @param {ConversationNotice} notice */
  #noticed({ conversation_id: id, conversation: summary }) {
    if (this.#hasConnected && !Object.hasOwn(this.#client.cursors, id)) this.#conversations.delete(id);
    else if (summary) {
      const { memberCount, members } = this.#conversations.learn(/** @type {Summary} */ (summary));
      this.#refresh.want(id, memberCount > members.length);
    }
  }

  /** @param {string} id @param {number} lastSeq */
  #reset(id, lastSeq) {
    const one = this.#conversations.touch(id);
    const { isLoaded } = one;
    one.reset(lastSeq);
    if (!isLoaded) return;
    const before = this.#loading.get(id)?.catch(() => {}) ?? Promise.resolve();
    before.then(() => this.load(id)).catch(() => {}); // `isLoaded` says it
  }

  // --- how ----------------------------------------------------------------------------------------------------------

  /** @param {string} id */
  async #loadNewest(id) {
    const { signal } = this.#over;
    const one = this.#conversations.touch(id);
    one.isLoading = true;
    this.#changed();
    try {
      for (let resets = -1; resets !== one.resets; ) {
        resets = one.resets;
        const [page] = await Promise.all([persist(signal, () => this.#history(id)), this.#refresh.whole(id, signal)]);
        if (one.resets === resets && this.#conversations.find(id) === one) this.#conversations.setLoaded(id).addPage(page);
      }
    } finally {
      one.isLoading = false;
      one.changed();
      if (!one.isKnown) this.#conversations.delete(id);
    }
  }

  /** @param {string} id @param {number} [beforeSeq] */
  #history(id, beforeSeq) {
    const limit = Math.min(PAGE, this.#connection.view.limits?.page_size ?? PAGE);
    return this.#client.rest.history(id, { beforeSeq, limit });
  }

  /** One call at a time of a conversation. @param {string} id @param {() => Promise<void>} work */
  #one(id, work) {
    const before = this.#loading.get(id);
    if (before) return before;
    const done = work().finally(() => {
      this.#loading.delete(id);
      this.#changed();
    });
    this.#loading.set(id, done);
    return done;
  }

  /**
   * The acknowledged message is shown before its frame comes.
   *
   * @param {Promise<Ack>} sent
   * @param {string} body
   * @param {Record<string, unknown> | null} [metadata]
   */
  #shown(sent, body, metadata) {
    const shown = sent.then((ack) => {
      const { conversation_id, client_message_id, message_id, seq, sent_at } = ack;
      const sender = this.#conversations.userId;
      const message = { conversation_id, seq, message_id, sender, body, client_message_id, sent_at, ...(metadata && { metadata }) };
      if (this.#conversations.find(conversation_id)) this.#conversations.touch(conversation_id).acknowledge(message);
      this.#changed();
      return ack;
    });
    shown.catch(() => {}); // it is in the outbox
    return shown;
  }

  /** @param {Summary} summary */
  #begun(summary) {
    this.#conversations.learn(summary);
    this.#changed();
    return summary.conversation_id;
  }

  #newRefresh() {
    const cursors = () => this.#client.cursors;
    const owner = { conversations: this.#conversations, presences: this.#presences, cursors, changed: this.#changed };
    return new Refresh(this.#client.rest, owner);
  }

  /** Tell it when the current work is done: a replay of a thousand messages is one change. */
  #changed = () => {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      for (const listener of [...this.#listeners]) queueMicrotask(listener); // an error is the listener's own
    });
  };
}
