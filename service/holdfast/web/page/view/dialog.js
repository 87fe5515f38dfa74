/* The dialog that starts a conversation with one or several people. */

import { byId } from "./dom.js";
import { isName } from "./picker.js";

/* start(members, title) rejects with what to say. */
export function startDialog(me, start) {
  const dialog = byId("dialog");
  const say = (text) => {
    byId("dialog-problem").hidden = !text;
    byId("dialog-problem").textContent = text;
  };
  byId("new-conversation").onclick = () => {
    byId("dialog-form").reset();
    say("");
    dialog.showModal();
  };
  byId("dialog-cancel").onclick = () => dialog.close();
  byId("dialog-form").onsubmit = async (event) => {
    event.preventDefault();
    const members = [...new Set(byId("dialog-members").value.split(",").map((part) => part.trim()))].filter((part) => part && part !== me);
    if (members.length === 0) return say("Name somebody other than yourself.");
    const wrong = members.find((member) => !isName(member));
    if (wrong) return say(`“${wrong}” is not a name: letters, digits, _ and - only.`);
    byId("dialog-start").disabled = true;
    try {
      await start(members, byId("dialog-title").value.trim());
      dialog.close();
    } catch (problem) {
      say(problem.message);
    } finally {
      byId("dialog-start").disabled = false;
    }
    return undefined;
  };
}
