/* The open conversation: its messages with ticks, who types, who is there. */

import { isRead, nameOf, partnerOf, readersOf } from "../people.js";
import { avatar, byId, icon, make, reconcile, setText, tint } from "./dom.js";
import { dayOf, shortly, timeOf } from "./format.js";
import { linked } from "./links.js";

const NEAR_PX = 80;
const TOGETHER_MS = 5 * 60_000; // messages of one person within five minutes stand together
const WORDS = { pending: "Waiting to be sent", sent: "Sent", read: "Read", failed: "Not sent" };

let shownId = null;
let shownFirst = null;
let wasAtBottom = true;
let newAfter = Infinity; // the seq of the last message that had been read when the reader came

export function isAtBottom() {
  const box = byId("scroll");
  return box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
}

/* The reader leaves the window: what comes from now on is new. */
export function noteAway(one) {
  newAfter = one.lastSeq;
}

/* The reader has answered: nothing is new. */
export function noteAnswer() {
  newAfter = Infinity;
}

export function toBottom() {
  const box = byId("scroll");
  box.scrollTop = box.scrollHeight;
}

/* What is to be seen: stored messages, then what this tab has sent and is not stored. */
function lines(one, { me, view }) {
  const readers = one.memberCount > 2 ? readersOf(one, me) : new Map();
  const stored = one.messages.map((message) => ({
    key: message.sender === me ? `c:${message.client_message_id}` : `m:${message.seq}`,
    seq: message.seq,
    sender: message.sender,
    body: message.body,
    at: Date.parse(message.sent_at),
    state: message.sender === me ? (isRead(one, me, message.seq) ? "read" : "sent") : null,
    readers: readers.get(message.seq) ?? [],
  }));
  const own = view.outbox(one.id).map((entry) => ({
    key: `c:${entry.clientMessageId}`,
    id: entry.id,
    seq: null,
    sender: me,
    body: entry.body,
    at: entry.queuedAt.getTime(),
    state: entry.state === "failed" ? "failed" : "pending",
    readers: [],
    detail: entry.error?.detail,
    mayRetry: entry.error?.retryable,
  }));
  return [...stored, ...own];
}

function bubble(line, { isOwn, isFirst, withName }, { drop, retry }) {
  const meta = make("span", { class: "meta" }, make("time", { datetime: new Date(line.at).toISOString() }, timeOf(line.at)));
  if (line.state) {
    const svg = icon(`tick-${line.state}`, WORDS[line.state]);
    svg.classList.add("tick");
    meta.append(svg);
  }
  const item = make(
    "li",
    { class: `message${isOwn ? " own" : ""}${isFirst ? " first" : ""}`, "data-testid": "message", "data-seq": line.seq, "data-state": line.state },
    withName && isFirst && !isOwn ? tint(make("span", { class: "sender" }, line.sender), line.sender) : make("span", { class: "visually-hidden" }, isOwn ? "You: " : `${line.sender}: `),
    make("div", { class: "bubble" }, make("p", { class: "body", dir: "auto", "data-testid": "body" }, ...linked(line.body)), meta),
  );
  if (line.readers.length) item.append(make("p", { class: "readers", "data-testid": "readers" }, `Read by ${line.readers.join(", ")}`));
  if (line.state === "failed") {
    const again = line.mayRetry ? make("button", { type: "button", class: "plain", onclick: () => retry(line.id) }, "Try again") : null;
    const remove = make("button", { type: "button", class: "plain", onclick: () => drop(line.id) }, "Remove");
    item.append(make("p", { class: "problem" }, `Not sent: ${line.detail} `, again, remove));
  }
  return item;
}

function wanted(one, chat, acts) {
  const result = [];
  let before = null;
  let isNewShown = false;
  for (const line of lines(one, chat)) {
    const day = dayOf(line.at);
    const isNewDay = !before || dayOf(before.at) !== day;
    if (isNewDay) result.push([`d:${day}`, day, () => make("li", { class: "day" }, make("span", {}, day))]);
    const isNews = !isNewShown && line.seq > newAfter && line.sender !== chat.me;
    if (isNews) result.push(["new", "", () => make("li", { class: "day new", "data-testid": "new" }, make("span", {}, "New"))]);
    isNewShown ||= isNews;
    const isFirst = isNewDay || isNews || before.sender !== line.sender || line.at - before.at > TOGETHER_MS;
    const place = { isOwn: line.sender === chat.me, isFirst, withName: one.memberCount > 2 };
    result.push([line.key, JSON.stringify([line.seq, line.state, isFirst, line.detail, line.at, line.readers]), () => bubble(line, place, acts)]);
    before = line;
  }
  return result;
}

function presence(one, { me, view }) {
  const partner = partnerOf(one, me);
  if (!partner) return `${one.memberCount} members: ${one.members.join(", ")}`;
  const { online, lastSeenAt } = view.presence(partner) ?? {};
  if (online) return "online";
  return lastSeenAt ? `last seen ${shortly(Date.parse(lastSeenAt))}` : "offline";
}

function typingWords(users) {
  if (users.length === 0) return "";
  return users.length === 1 ? `${users[0]} is typing` : users.length === 2 ? `${users[0]} and ${users[1]} are typing` : "Several people are typing";
}

export function drawThread(chat, one, acts) {
  const { me, view } = chat;
  byId("thread").hidden = !one;
  byId("nothing").hidden = Boolean(one);
  document.body.dataset.screen = one ? "thread" : "list";
  if (!one) {
    shownId = null;
    return;
  }
  const box = byId("scroll");
  const isNew = shownId !== one.id;
  if (isNew) {
    newAfter = one.unread ? one.readSeq : Infinity;
    byId("messages").replaceChildren();
    byId("thread-avatar").replaceWith(avatar(nameOf(one, me), { id: "thread-avatar" }));
  }
  const stick = isNew || wasAtBottom;
  const fromBottom = box.scrollHeight - box.scrollTop;
  const first = one.messages[0]?.seq ?? null;
  const partner = partnerOf(one, me);
  setText(byId("thread-name"), nameOf(one, me));
  setText(byId("thread-presence"), presence(one, chat));
  byId("thread-presence").classList.toggle("online", Boolean(partner && view.presence(partner)?.online));
  const start = byId("start-of");
  start.hidden = !one.isLoaded && !one.isLoading;
  setText(start, !one.isLoaded || one.hasOlder ? "Loading…" : `This is the beginning of your conversation${partner ? ` with ${partner}` : ""}.`);
  byId("messages").classList.toggle("still", isNew);
  reconcile(byId("messages"), wanted(one, chat, acts));
  setText(byId("typing"), typingWords(one.typing));
  if (stick) toBottom();
  else if (!isNew && shownFirst !== null && first < shownFirst) box.scrollTop = box.scrollHeight - fromBottom; // older ones came in above
  [shownId, shownFirst] = [one.id, first];
  noteScroll();
}

/* Remembered between drawings: what counts is where the reader was before something was added. */
export function noteScroll() {
  wasAtBottom = isAtBottom();
  byId("latest").hidden = wasAtBottom;
}
