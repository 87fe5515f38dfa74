/* The page: one user, one view of the client; this file joins it with what is drawn, whenever it has changed. */

import { Client, Unauthorized } from "./client/index.js";
import { ChatView } from "./client/view/index.js";
import { UnsentMessages } from "./unsent.js";
import { drawDegraded, drawLink, drawMe, isReachable, toast } from "./view/bar.js";
import { openDraft, startComposer } from "./view/composer.js";
import { startDialog } from "./view/dialog.js";
import { byId, setText } from "./view/dom.js";
import { drawList } from "./view/list.js";
import { hidePicker, isName, showPicker } from "./view/picker.js";
import { drawThread, isAtBottom, noteAnswer, noteAway, noteScroll, toBottom } from "./view/thread.js";

const NARROW = matchMedia("(max-width: 719px)");
const NEAR_TOP_PX = 120;
const TOKEN_MS = 10_000;
const LOAD_AGAIN_MS = 5_000;

class Chat {
  #openId = decodeURIComponent(location.hash.slice(1)) || null;
  #loadingId = null;
  #instance = "";
  #isDrawing = false;

  constructor(me) {
    this.me = me;
    const client = new Client({ urls: [location.origin], token: () => tokenOf(me), name: "holdfast page" });
    this.view = new ChatView(client);
    this.client = client;
    this.unsent = new UnsentMessages(this.view, me);
  }

  start() {
    hidePicker();
    drawMe(this.me);
    startComposer({ send: (id, text) => this.#send(id, text), typing: (id, active) => this.view.typing(id, active) });
    startDialog(this.me, (members, title) => this.#create(members, title));
    byId("back").onclick = () => this.open(null);
    byId("latest").onclick = () => (toBottom(), this.draw());
    byId("scroll").addEventListener("scroll", () => this.#scrolled(), { passive: true });
    for (const event of ["online", "offline"]) addEventListener(event, () => this.draw());
    document.addEventListener("visibilitychange", () => this.#looked());
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    setInterval(() => this.view.connection().name === "waiting" && this.draw(), 1_000);
    this.view.subscribe(() => {
      this.unsent.keep();
      this.draw();
    });
    this.view.start();
    this.unsent.restore();
    this.draw();
  }

  open(id) {
    this.#openId = id;
    history.replaceState(null, "", id ? `#${encodeURIComponent(id)}` : location.pathname + location.search);
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
    const { view, me } = this;
    const connection = view.connection();
    const all = view.conversations();
    if (!this.#openId && connection.isListed && all.length && !NARROW.matches) return this.open(all[0].id);
    const one = this.#openId ? view.conversation(this.#openId) : undefined;
    drawLink(connection);
    drawDegraded(connection.degraded);
    this.#noteInstance(connection);
    drawList(this, this.#openId, { open: (id) => this.open(id), start: (user) => this.#start(user), again: () => this.draw() });
    openDraft(one?.id ?? null);
    drawThread(this, one, { drop: (id) => view.discard(id), retry: (id) => view.retry(id) });
    setText(byId("nothing-text"), this.#nothing(connection));
    const unread = all.reduce((sum, each) => sum + each.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ""}${me} · Holdfast`;
    this.#load(one);
    if (one) this.#markRead(one);
  }

  #noteInstance({ name, instanceId }) {
    if (name !== "open" || instanceId === this.#instance) return;
    if (this.#instance) toast(`Moved from ${this.#instance} to ${instanceId}.`);
    this.#instance = instanceId;
  }

  /* What stands where no conversation is open: never an invitation to what cannot work now. */
  #nothing(connection) {
    if (connection.name === "stopped") return `Disconnected: ${connection.reason.detail}.`;
    if (!isReachable(connection)) {
      if (!navigator.onLine) return "This device has no network. The page goes on when it is back.";
      return connection.reason ? "No instance can be reached. The page tries again by itself." : "Connecting…";
    }
    if (!connection.isListed) return "Loading your conversations…";
    if (this.view.conversations().length) return "Choose a conversation.";
    return "Start a conversation, and open this page in a second window as the other person.";
  }

  /* The conversation that is open, whether it is known already or not. */
  async #load(one) {
    const id = this.#openId;
    if (!id || one?.isLoaded || this.#loadingId === id) return;
    this.#loadingId = id;
    try {
      await this.view.load(id);
      this.#loadingId = null;
    } catch (problem) {
      this.#say(problem);
      setTimeout(() => {
        this.#loadingId = null;
        this.draw();
      }, LOAD_AGAIN_MS);
    }
  }

  #say(problem) {
    if (problem.code === "conversation_not_found") this.open(null);
    else if (this.view.connection().name === "open") toast(problem.detail ?? problem.message);
  }

  #looked() {
    const one = this.#openId && this.view.conversation(this.#openId);
    if (document.visibilityState === "visible") this.client.retryNow();
    else if (one) noteAway(one);
    this.draw();
  }

  #leave() {
    this.unsent.keep();
    this.view.close();
  }

  #scrolled() {
    noteScroll();
    const one = this.#openId && this.view.conversation(this.#openId);
    if (!one) return;
    if (isAtBottom()) this.#markRead(one);
    if (byId("scroll").scrollTop < NEAR_TOP_PX && one.hasOlder && one.isLoaded) this.view.loadOlder(one.id).catch((problem) => this.#say(problem));
  }

  #markRead(one) {
    if (document.visibilityState === "visible" && isAtBottom()) this.view.read(one.id);
  }

  #send(id, text) {
    if (!text || !id) return "";
    const { name, limits, reason } = this.view.connection();
    if (name === "stopped") return `Disconnected: ${reason.detail}.`;
    const excess = limits ? new TextEncoder().encode(text).length - limits.body_bytes : 0;
    if (excess > 0) return `Too long by ${excess} bytes.`;
    const before = this.view.outbox().length;
    this.view.send(id, text);
    if (this.view.outbox().length === before) return "Too many messages are waiting to be sent.";
    this.unsent.keep();
    noteAnswer();
    requestAnimationFrame(() => (toBottom(), this.draw()));
    return "";
  }

  #start(user) {
    this.#create([user], "").catch((problem) => this.#say(problem));
  }

  /* Two users who start one with each other at the same time mean the same. */
  async #create(others, title) {
    const isPair = others.length === 1 && others[0] !== this.me && !title;
    this.open(await (isPair ? this.view.direct(others[0]) : this.view.create([this.me, ...others], title ? { title } : {})));
  }
}

/* A token of the demonstration: no password. */
async function tokenOf(userId) {
  const answer = await fetch("/demo/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user_id: userId }),
    cache: "no-store",
    signal: AbortSignal.timeout(TOKEN_MS),
  });
  const { token, detail, retryable } = await answer.json();
  if (retryable === false) throw new Unauthorized(detail);
  return token;
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
