/* The list of conversations, and what to do when there is none. */

import { isRead, nameOf, othersOf, partnerOf } from "../people.js";
import { avatar, byId, icon, make, reconcile } from "./dom.js";
import { shortly } from "./format.js";
import { SUGGESTED } from "./picker.js";

const SETTLED_MS = 1_500; // a first message follows its conversation sooner than that
let seenAt = new Map(); // conversation -> when it was drawn first

function dot(userId, online) {
  const label = `${userId} is ${online ? "online" : "offline"}`;
  return make("span", { class: `dot${online ? " on" : ""}`, "data-testid": `presence-${userId}`, "data-online": String(online), role: "img", "aria-label": label });
}

/* Known to have no message, and not only because its first one is still on the way. */
function isEmpty(one) {
  return one.lastSeq === 0 && Date.now() - seenAt.get(one.id) >= SETTLED_MS;
}

function preview(one, me) {
  if (one.typing.length) return make("span", { class: "is-typing" }, "typing…");
  const last = one.lastMessage;
  if (!last) return make("span", {}, isEmpty(one) ? "No messages yet" : "\u2026");
  const who = last.sender === me ? "You: " : one.memberCount > 2 ? `${last.sender}: ` : "";
  return make("span", {}, who + last.body);
}

function tick(one, me) {
  if (one.lastMessage?.sender !== me || one.typing.length) return null;
  const read = isRead(one, me, one.lastMessage.seq);
  const svg = icon(read ? "tick-read" : "tick-sent", read ? "Read" : "Sent");
  svg.classList.add("tick");
  return svg;
}

function entry(one, { me, view }, isOpen, open) {
  const partner = partnerOf(one, me);
  const { unread } = one;
  const face = make("span", { class: "face" }, avatar(nameOf(one, me)), partner ? dot(partner, view.presence(partner)?.online ?? false) : null);
  const count = unread ? make("span", { class: "count" }, unread > 99 ? "99+" : String(unread), make("span", { class: "visually-hidden" }, " unread")) : null;
  const button = make(
    "button",
    { type: "button", "data-testid": `conversation-${one.id}`, "data-unread": unread, "aria-current": isOpen ? "true" : null, onclick: () => open(one.id) },
    face,
    make("span", { class: "what" }, make("span", { class: "name", dir: "auto" }, nameOf(one, me)), make("span", { class: "last", dir: "auto" }, tick(one, me), preview(one, me))),
    make("span", { class: "when" }, one.lastMessage ? make("time", {}, shortly(one.activeAt)) : "", count),
  );
  return make("li", { class: unread ? "unread" : null }, button);
}

/* What of a conversation its line shows. */
function signature(one, { me, view }, isOpen) {
  const { lastMessage: last, unread, typing } = one;
  const online = view.presence(partnerOf(one, me))?.online;
  return JSON.stringify([nameOf(one, me), last?.seq, !last && isEmpty(one), unread, typing, isOpen, online, last && isRead(one, me, last.seq)]);
}

/* again(): to be drawn once more when a conversation without messages has none in the end. */
export function drawList(chat, openId, { open, start, again }) {
  const { view, me } = chat;
  const all = view.conversations();
  const now = Date.now();
  seenAt = new Map(all.map(({ id }) => [id, seenAt.get(id) ?? now]));
  if (all.some((one) => one.lastSeq === 0 && now - seenAt.get(one.id) < SETTLED_MS)) setTimeout(again, SETTLED_MS);
  reconcile(
    byId("conversations"),
    all.map((one) => [one.id, signature(one, chat, one.id === openId), () => entry(one, chat, one.id === openId, open)]),
  );
  const { isListed, name } = view.connection();
  const talking = new Set(all.filter((one) => one.memberCount === 2).flatMap((one) => othersOf(one, me)));
  const canStart = isListed && (name === "open" || name === "syncing"); // without an instance none can be started
  const fresh = canStart ? SUGGESTED.filter((user) => user !== me && !talking.has(user)) : [];
  reconcile(
    byId("starts"),
    fresh.map((user) => [
      user,
      user,
      () => make("button", { type: "button", class: "start", "data-testid": `start-${user}`, onclick: () => start(user) }, `Start a conversation with ${user}`),
    ]),
  );
}
