/* Writing: Enter sends, Shift+Enter breaks the line, and others see that somebody types. */

import { byId } from "./dom.js";

const REPEAT_TYPING_MS = 3_000; // as the protocol has it; it expires after 6
const LONGEST_PX = 160;
const drafts = new Map(); // by conversation: what was begun stays when another one is opened

let draftOf = null;
let typedAt = 0;
let typing = () => {};

export function startComposer({ send, typing: tellTyping }) {
  typing = tellTyping;
  const field = byId("draft");
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const problem = send(draftOf, field.value.trim()); // what is open by now may be another one, which is not drawn yet
    showProblem(problem);
    if (problem) return;
    field.value = "";
    typedAt = 0; // the message itself ends it for the others
    fit();
    field.focus();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("composer").requestSubmit();
  });
  field.addEventListener("input", () => {
    fit();
    showProblem("");
    noteTyping();
  });
  field.addEventListener("blur", stopTyping);
}

/* The draft that belongs to the conversation now open. */
export function openDraft(id) {
  if (id === draftOf) return;
  stopTyping();
  const field = byId("draft");
  if (draftOf) drafts.set(draftOf, field.value);
  draftOf = id;
  field.value = drafts.get(id) ?? "";
  showProblem("");
  fit();
}

function noteTyping() {
  if (!byId("draft").value.trim()) {
    stopTyping();
  } else if (Date.now() - typedAt >= REPEAT_TYPING_MS) {
    typedAt = Date.now();
    typing(draftOf, true);
  }
}

function stopTyping() {
  if (!typedAt) return;
  typedAt = 0;
  typing(draftOf, false);
}

function fit() {
  const field = byId("draft");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, LONGEST_PX)}px`;
  byId("send").disabled = !field.value.trim();
}

function showProblem(text) {
  const element = byId("draft-problem");
  element.hidden = !text;
  element.textContent = text || "";
}
