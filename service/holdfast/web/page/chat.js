/* The page: one person, one connection, one state; this file joins them and draws when something has changed. */

import { Api, Credentials } from "./api.js";
import { Connection } from "./connection.js";
import { newId, Outbox } from "./outbox.js";
import { State } from "./state.js";
import { drawDegraded, drawLink, drawMe, toast } from "./view/bar.js";
import { openDraft, startComposer } from "./view/composer.js";
import { startDialog } from "./view/dialog.js";
import { byId, setText } from "./view/dom.js";
import { drawList } from "./view/list.js";
import { hidePicker, isName, showPicker } from "./view/picker.js";
import { drawThread, isAtBottom, noteScroll, toBottom } from "./view/thread.js";

const NARROW = matchMedia("(max-width: 719px)");
const PRESENCE_ASKED = 20; // conversations whose other member's presence the list shows
const NEAR_TOP_PX = 120;
const LIST_PAGES = 50;
const STRAYS = 20; // conversations that are asked for one by one, because the list did not tell enough of them

class Chat {
  #openId = decodeURIComponent(location.hash.slice(1)) || null;
  #link = { phase: "connecting", attempt: 0, instance: null };
  #isDrawing = false;
  #fetching = new Set();

  constructor(me) {
    this.me = me;
    const credentials = new Credentials(me);
    this.api = new Api(credentials);
    this.state = new State({ me, onChange: () => this.draw(), onStale: (id) => this.#fetch(id), onMessage: (one, message) => this.#came(one, message) });
    this.connection = new Connection({
      credentials,
      cursors: () => this.state.cursors(),
      onFrame: (frame) => this.#heard(frame),
      onState: (link) => this.#linked(link),
    });
    this.outbox = new Outbox({ userId: me, send: (frame) => this.connection.send(frame), onChange: () => this.draw() });
  }

  start() {
    hidePicker();
    drawMe(this.me);
    startComposer({ send: (text) => this.#send(text), typing: (id, active) => this.#typing(id, active) });
    startDialog(this.me, (members, title) => this.#create(members, title));
    byId("back").onclick = () => this.open(null);
    byId("latest").onclick = () => (toBottom(), this.draw());
    byId("scroll").addEventListener("scroll", () => this.#scrolled(), { passive: true });
    document.addEventListener("visibilitychange", () => this.draw());
    addEventListener("pagehide", () => this.connection.stop("the page was left"));
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    setInterval(() => this.#link.phase === "waiting" && drawLink(this.#link), 1_000);
    this.connection.start();
    this.draw();
  }

  open(id) {
    this.#openId = id;
    history.replaceState(null, "", id ? `#${encodeURIComponent(id)}` : location.pathname + location.search);
    if (id) this.#fetch(id);
    this.draw();
    if (id && !NARROW.matches) byId("draft").focus();
    if (!id) document.querySelector("#conversations button")?.focus();
  }

  /* Once per animation frame, however much has changed; by timer where the browser draws nothing (a hidden tab). */
  draw() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    const go = () => {
      this.#isDrawing = false;
      this.#draw();
    };
    if (document.visibilityState === "visible") requestAnimationFrame(go);
    else setTimeout(go, 200);
  }

  #draw() {
    const one = this.state.conversations.get(this.#openId);
    const known = one?.isKnown ? one : null;
    drawLink(this.#link);
    drawDegraded(this.state.degraded);
    drawList(this.state, this.#openId, { open: (id) => this.open(id), start: (user) => this.#start(user), canStart: this.#isReachable });
    openDraft(known?.id ?? null);
    drawThread(this.state, known, known ? this.outbox.of(known.id) : [], { drop: (id) => this.outbox.drop(id) });
    setText(byId("nothing-text"), this.#nothing());
    const unread = this.state.ordered().reduce((sum, each) => sum + this.state.unread(each), 0);
    document.title = `${unread ? `(${unread}) ` : ""}${this.me} · Holdfast`;
    if (known) this.#markRead(known);
  }

  get #isReachable() {
    return this.#link.phase === "open" || this.#link.phase === "moving";
  }

  /* What stands where no conversation is open: never an invitation to what cannot work now. */
  #nothing() {
    const { phase, attempt, reason } = this.#link;
    if (phase === "offline") return "This device has no network. The page goes on when it is back.";
    if (phase === "stopped") return `Disconnected: ${reason || "signed out"}.`;
    if (!this.#isReachable) return phase === "waiting" || attempt ? "No instance can be reached. The page tries again by itself." : "Connecting…";
    if (!this.state.hasListed) return "Loading your conversations…";
    return this.state.conversations.size ? "Choose a conversation." : "Start a conversation, and open this page in a second window as the other person.";
  }

  #linked(link) {
    const before = this.#link.instance;
    this.#link = { ...link, instance: link.instance ?? before };
    if (link.phase === "open") {
      if (before && before !== link.instance) toast(`Moved from ${before} to ${link.instance}.`);
      this.outbox.opened();
    } else {
      this.outbox.closed();
    }
    this.draw();
  }

  #heard(frame) {
    this.state.apply(frame);
    if (frame.type === "ack") this.outbox.acknowledged(frame);
    else if (frame.type === "error") this.outbox.refused(frame);
    else if (frame.type === "synced") this.#refetch();
    else if (frame.type === "truncated" || frame.type === "reset") this.#fetch(frame.conversation_id);
    else if (frame.type === "conversation") this.#invited(frame);
  }

  #came(one, message) {
    if (message.sender === this.me) this.outbox.arrived(message.client_message_id);
    else if (one.id !== this.#openId) this.draw();
  }

  #invited(frame) {
    const one = this.state.conversations.get(frame.conversation_id);
    if (one) this.#askPresence([one]);
    this.#askLatest();
    if (!this.#openId && !NARROW.matches && this.state.conversations.size === 1) this.open(frame.conversation_id);
  }

  /* After each synchronization: what frames do not repeat (who is online, who has read what) may have changed meanwhile. */
  async #refetch() {
    await this.#attempt(() => this.#list());
    for (const one of this.state.unlisted().slice(0, STRAYS)) this.#fetch(one.id);
    this.#askLatest();
    const [latest] = this.state.ordered();
    if (!this.#openId && latest && !NARROW.matches) this.open(latest.id);
    else if (this.#openId) this.#fetch(this.#openId);
    this.#askPresence();
  }

  /* Newest first, and no further than what is not known yet: one call, for all but those with hundreds of conversations. */
  async #list() {
    for (let cursor = null, page = 0; page < LIST_PAGES; page += 1) {
      const answer = await this.api.conversations({ cursor, limit: this.state.limits.page_size });
      this.state.learnAll(answer.conversations);
      cursor = answer.next_cursor;
      if (!cursor || this.state.unlisted().length === 0) return;
    }
  }

  /* Last messages that summaries do not have yet; few, and only for a moment after a message. */
  #askLatest() {
    for (const one of this.state.ordered().filter((each) => this.state.isBehind(each)).slice(0, STRAYS)) {
      this.api.messages(one.id, { limit: 1 }).then((page) => this.state.learnLatest(one.id, page)).catch(() => {}); // only a preview
    }
  }

  async #fetch(id) {
    if (this.#fetching.has(id)) return;
    this.#fetching.add(id);
    await this.#attempt(async () => {
      const one = this.state.learn(await this.api.conversation(id));
      if (id !== this.#openId || one.isLoaded) return;
      await this.#page(one, null);
    }).finally(() => this.#fetching.delete(id));
  }

  async #page(one, beforeSeq) {
    one.isLoading = true;
    try {
      const page = await this.api.messages(one.id, { beforeSeq });
      this.state.learnPage(one.id, page, { isLatest: beforeSeq === null });
      for (const message of page.messages) if (message.sender === this.me) this.outbox.arrived(message.client_message_id);
    } finally {
      one.isLoading = false;
    }
  }

  async #attempt(work) {
    try {
      await work();
    } catch (problem) {
      if (problem.code === "conversation_not_found") this.open(null);
      else if (this.#link.phase === "open") toast(problem.message);
    }
  }

  #askPresence(conversations = this.state.ordered().slice(0, PRESENCE_ASKED)) {
    const others = conversations.map((one) => this.state.others(one)).filter((each) => each.length === 1).flat();
    for (const user of new Set(others)) {
      this.api.presence(user).then((answer) => this.state.learnPresence(user, answer)).catch(() => {}); // only a dot: the next frame sets it
    }
  }

  #scrolled() {
    noteScroll();
    const one = this.state.conversations.get(this.#openId);
    if (!one) return;
    if (isAtBottom()) this.#markRead(one);
    if (byId("scroll").scrollTop < NEAR_TOP_PX && one.hasOlder && one.isLoaded && !one.isLoading) this.#attempt(() => this.#page(one, one.messages[0].seq));
  }

  #markRead(one) {
    const last = one.messages.at(-1);
    if (!last || !one.isLoaded || document.visibilityState !== "visible" || !isAtBottom()) return;
    const read = one.reads.get(this.me) ?? 0;
    if (read >= last.seq) return;
    if (last.sender === this.me && read === last.seq - 1) this.state.readUpTo(one, last.seq); // as the service does by itself
    else if (this.connection.send({ type: "read", conversation_id: one.id, message_id: last.message_id })) this.state.readUpTo(one, last.seq);
  }

  #send(text) {
    if (!text || !this.#openId) return "";
    const excess = new TextEncoder().encode(text).length - this.state.limits.body_bytes;
    if (excess > 0) return `Too long by ${excess} bytes.`;
    this.outbox.add(this.#openId, text, this.state.conversations.get(this.#openId)?.reads.get(this.me) ?? 0);
    requestAnimationFrame(() => (toBottom(), this.draw()));
    return "";
  }

  #typing(id, active) {
    const one = this.state.conversations.get(id);
    if (one?.indicators) this.connection.send({ type: "typing", conversation_id: id, active });
  }

  #start(user) {
    this.#attempt(() => this.#create([user], ""));
  }

  /* Two users who start one with each other at the same time mean the same. */
  async #create(others, title) {
    const isPair = others.length === 1 && others[0] !== this.me && !title;
    const summary = isPair
      ? await this.api.openDirect(others[0])
      : await this.api.create({ members: [this.me, ...others], conversation_id: newId(), ...(title && { title }) });
    this.state.learn(summary);
    this.open(summary.conversation_id);
  }
}

function begin(user) {
  if (!isName(user)) return showPicker(begin, "A name has letters, digits, _ and - only.");
  const address = new URL(location.href);
  address.searchParams.set("user", user);
  history.replaceState(null, "", address);
  byId("me").onclick = () => location.assign("/");
  return new Chat(user).start();
}

const named = new URLSearchParams(location.search).get("user");
if (named) begin(named);
else showPicker(begin);
