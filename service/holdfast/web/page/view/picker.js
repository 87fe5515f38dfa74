/* Who am I? */

import { avatar, byId, make } from "./dom.js";

export const SUGGESTED = ["user123", "user456"];
const NAME = /^[A-Za-z0-9_-]{1,128}$/;

export function isName(text) {
  return NAME.test(text);
}

export function showPicker(pick, problem = "") {
  document.body.dataset.screen = "picker";
  byId("picker").hidden = false;
  byId("app").hidden = true;
  byId("choices").replaceChildren(
    ...SUGGESTED.map((user) =>
      make("button", { type: "button", "data-testid": `user-option-${user}`, onclick: () => pick(user) }, avatar(user), make("span", {}, user)),
    ),
  );
  byId("other-user").onsubmit = (event) => {
    event.preventDefault();
    pick(byId("other-user-id").value.trim());
  };
  byId("picker-problem").hidden = !problem;
  byId("picker-problem").textContent = problem;
}

export function hidePicker() {
  byId("picker").hidden = true;
  byId("app").hidden = false;
}
