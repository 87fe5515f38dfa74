/* The bar: which instance this tab is connected to, how the connection is, and what is degraded. */

import { avatar, byId, setText, tint } from "./dom.js";

const TOAST_MS = 6_000;
const STORES = new Set(["firestore", "sqlite", "store"]);

/* Whether the service answers: what is asked of it can work. */
export function isReachable({ name }) {
  return name === "open" || name === "syncing";
}

function stateOf(connection) {
  const { name, reason } = connection;
  if (name === "open") return "connected";
  if (name === "stopped") return "stopped";
  if (!isReachable(connection) && !navigator.onLine) return "offline";
  return reason ? "reconnecting" : "connecting";
}

function words(state, { name, retryAt, reason }) {
  if (state === "connected") return "Connected";
  if (state === "stopped") return `Disconnected: ${reason.detail}`;
  if (state === "offline") return "Offline: this device has no network";
  if (name === "syncing") return "Catching up…";
  const seconds = retryAt ? Math.ceil((retryAt - Date.now()) / 1_000) : 0;
  if (seconds > 1) return `Reconnecting in ${seconds} s…`;
  return state === "reconnecting" ? "Reconnecting…" : "Connecting…";
}

export function drawLink(connection) {
  const status = byId("status");
  const state = stateOf(connection);
  status.dataset.state = state;
  setText(status, words(state, connection));
  const instance = byId("instance");
  const { instanceId } = connection;
  instance.hidden = !instanceId;
  instance.classList.toggle("was", !isReachable(connection));
  if (instanceId && instance.textContent !== instanceId) {
    setText(instance, instanceId);
    tint(instance, instanceId);
  }
}

export function drawDegraded(names) {
  const element = byId("degraded");
  element.hidden = names.length === 0;
  const hasStoreGone = names.some((name) => STORES.has(name));
  const effect = hasStoreGone ? "messages wait here until it is back" : "some messages may arrive a few seconds late";
  setText(element, names.length ? `Degraded (${names.join(", ")}): ${effect}.` : "");
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
