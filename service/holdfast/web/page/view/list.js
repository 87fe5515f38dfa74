/* The list of conversations, and what to do when there is none. */

import { avatar, byId, icon, make, reconcile } from "./dom.js";
import { shortly } from "./format.js";
import { SUGGESTED } from "./picker.js";

function dot(userId, state) {
  const online = state.presence.get(userId)?.online ?? false;
  const label = `${userId} is ${online ? "online" : "offline"}`;
  return make("span", { class: `dot${online ? " on" : ""}`, "data-testid": `presence-${userId}`, "data-online": String(online), role: "img", "aria-label": label });
}

function preview(one, state) {
  const typing = state.typing(one);
  if (typing.length) return make("span", { class: "is-typing" }, "typing…");
  if (!one.last) return make("span", {}, state.isEmpty(one) ? "No messages yet" : "\u2026");
  const who = one.last.sender === state.me ? "You: " : one.memberCount > 2 ? `${one.last.sender}: ` : "";
  return make("span", {}, who + one.last.body);
}

function tick(one, state) {
  if (one.last?.sender !== state.me || state.typing(one).length) return null;
  const isRead = state.isRead(one, one.last.seq);
  const svg = icon(isRead ? "tick-read" : "tick-sent", isRead ? "Read" : "Sent");
  svg.classList.add("tick");
  return svg;
}

function entry(one, state, isOpen, open) {
  const others = state.others(one);
  const unread = state.unread(one);
  const face = make("span", { class: "face" }, avatar(state.name(one)), others.length === 1 ? dot(others[0], state) : null);
  const count = unread ? make("span", { class: "count" }, unread > 99 ? "99+" : String(unread), make("span", { class: "visually-hidden" }, " unread")) : null;
  const button = make(
    "button",
    { type: "button", "data-testid": `conversation-${one.id}`, "data-unread": unread, "aria-current": isOpen ? "true" : null, onclick: () => open(one.id) },
    face,
    make("span", { class: "what" }, make("span", { class: "name", dir: "auto" }, state.name(one)), make("span", { class: "last", dir: "auto" }, tick(one, state), preview(one, state))),
    make("span", { class: "when" }, one.last ? make("time", {}, shortly(one.activeAt)) : "", count),
  );
  return make("li", { class: unread ? "unread" : null }, button);
}

/* canStart: whether an instance can be reached: without one no conversation can be started. */
export function drawList(state, openId, { open, start, canStart }) {
  const each = state.ordered();
  reconcile(
    byId("conversations"),
    each.map((one) => {
      const others = state.others(one);
      const signature = JSON.stringify([
        state.name(one), one.last?.seq, !one.last && state.isEmpty(one), state.unread(one), state.typing(one), one.id === openId, others.length === 1 && state.presence.get(others[0])?.online,
        one.last && state.isRead(one, one.last.seq),
      ]);
      return [one.id, signature, () => entry(one, state, one.id === openId, open)];
    }),
  );
  const talking = new Set(each.filter((one) => one.memberCount === 2).flatMap((one) => state.others(one)));
  const fresh = state.hasListed && canStart ? SUGGESTED.filter((user) => user !== state.me && !talking.has(user)) : [];
  reconcile(
    byId("starts"),
    fresh.map((user) => [
      user,
      user,
      () => make("button", { type: "button", class: "start", "data-testid": `start-${user}`, onclick: () => start(user) }, `Start a conversation with ${user}`),
    ]),
  );
}
