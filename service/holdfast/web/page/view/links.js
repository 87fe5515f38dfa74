/* Addresses in what people write can be clicked; nothing else in it is more than text. */

import { make } from "./dom.js";

const ADDRESS = /\bhttps?:\/\/[^\s<>"]+/gi;
const AFTER = ".,;:!?'*_~"; // ends the sentence, and not the address

/* The text in pieces: texts and links. A page that is opened does not learn where it was opened from. */
export function linked(text) {
  const pieces = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = withoutEnd(found);
    if (!isSafe(address)) continue;
    pieces.push(text.slice(end, index), make("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, address));
    end = index + address.length;
  }
  return [...pieces, text.slice(end)].filter((piece) => piece !== "");
}

/* A bracket that was not opened in the address belongs to the sentence, too. */
function withoutEnd(found) {
  let open = found.split(")").length - found.split("(").length;
  let end = found.length;
  while (AFTER.includes(found[end - 1]) || (found[end - 1] === ")" && open > 0)) {
    if (found[end - 1] === ")") open -= 1;
    end -= 1;
  }
  return found.slice(0, end);
}

/* A name before the host hides where the link leads to. */
function isSafe(address) {
  if (!URL.canParse(address)) return false;
  const { protocol, username, password } = new URL(address);
  return (protocol === "http:" || protocol === "https:") && !username && !password;
}
