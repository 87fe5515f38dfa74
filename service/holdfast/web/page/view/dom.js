/* Elements. Text from people enters the page here and as text only: no function of this page parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

export function byId(id) {
  return document.getElementById(id);
}

/* An element with attributes and children; `on…` are listeners, null and false attributes are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function icon(symbol, label = null) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#${symbol}`);
  svg.append(use);
  svg.setAttribute("class", symbol);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  return svg;
}

/* Only when it differs: a live region that is written again is read aloud again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/* Make `parent` hold exactly `wanted` ([key, signature, build]), keeping elements whose signature is unchanged. */
export function reconcile(parent, wanted) {
  const present = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const [key, signature, build] of wanted) {
    let element = present.get(key);
    present.delete(key);
    if (element?.dataset.signature !== signature) {
      const fresh = build();
      fresh.dataset.key = key;
      fresh.dataset.signature = signature;
      if (element) {
        if (place === element) place = fresh;
        const hadFocus = element.contains(document.activeElement);
        fresh.classList.add("kept"); // changed, not new: no entrance
        element.replaceWith(fresh);
        if (hadFocus) (fresh.querySelector("button, a") ?? fresh).focus();
      }
      element = fresh;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const element of present.values()) element.remove();
}

/* A colour that always goes with a name (137 degrees, the golden angle, keeps instance-1 and instance-2 apart): set as a property, since the page's policy forbids style attributes. */
export function tint(element, name) {
  let hash = 7;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 3_600;
  element.style.setProperty("--hue", String((hash * 137 + 150) % 360));
  return element;
}

export function avatar(name, extra = {}) {
  const words = name.match(/[\p{L}\p{N}]+/gu) ?? [name];
  const isNumbered = /\d$/.test(name) && words.length === 1 && name.length > 2;
  const letters = isNumbered ? name[0] + name.slice(-2) : words.length > 1 ? initial(words[0]) + initial(words.at(-1)) : [...name].slice(0, 2).join("");
  return tint(make("span", { class: "avatar", "aria-hidden": "true", ...extra }, letters), name);
}

const initial = (word) => [...word][0];
