/* The bar: which instance this tab is connected to, how the connection is, and what is degraded. */

import { avatar, byId, setText, tint } from "./dom.js";

const TOAST_MS = 6_000;
const STORES = new Set(["firestore", "sqlite", "store"]);

function words(link) {
  switch (link.phase) {
    case "open":
      return "Connected";
    case "moving":
      return "Moving to another instance…";
    case "waiting": {
      const seconds = Math.ceil((link.retryAt - Date.now()) / 1_000);
      return seconds > 1 ? `Reconnecting in ${seconds} s…` : "Reconnecting…";
    }
    case "offline":
      return "Offline: this device has no network";
    case "stopped":
      return `Disconnected: ${link.reason || "signed out"}`;
    default:
      return link.attempt ? "Reconnecting…" : "Connecting…";
  }
}

const STATES = { open: "connected", waiting: "reconnecting", moving: "draining", stopped: "stopped", offline: "offline", connecting: "connecting" };

export function drawLink(link) {
  const status = byId("status");
  status.dataset.state = link.phase === "connecting" && link.attempt ? "reconnecting" : STATES[link.phase];
  setText(status, words(link));
  const instance = byId("instance");
  instance.hidden = !link.instance;
  instance.classList.toggle("was", link.phase !== "open" && link.phase !== "moving");
  if (link.instance && instance.textContent !== link.instance) {
    setText(instance, link.instance);
    tint(instance, link.instance);
  }
}

export function drawDegraded(names) {
  const element = byId("degraded");
  element.hidden = names.size === 0;
  const list = [...names].sort().join(", ");
  const hasStoreGone = [...names].some((name) => STORES.has(name));
  const effect = hasStoreGone ? "messages wait here until it is back" : "everything works, other instances hear of it a little later";
  setText(element, list && `Degraded: ${list}. ${effect[0].toUpperCase()}${effect.slice(1)}.`);
}

export function drawMe(userId) {
  byId("link").hidden = false;
  byId("me").replaceChildren(avatar(userId), userId);
  byId("me").setAttribute("aria-label", `You are ${userId}. Use another name`);
}

let toastTimer = 0;

export function toast(text) {
  const element = byId("toast");
  element.classList.add("shown");
  setText(element, text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    element.classList.remove("shown");
    element.textContent = "";
  }, TOAST_MS);
}
