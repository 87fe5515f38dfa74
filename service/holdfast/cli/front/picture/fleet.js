// Draws what /fleet/state tells, once a second, and sends the orders of the buttons. All text enters the page as text.

const LOOK_MS = 1000;
const HURRY_MS = 150; // after an order: its effect is soon there
const ASK_MS = 4000;
const MAX_CHANGES = 50;

const WORDS = {
  healthy: ["healthy", "good"],
  degraded: ["degraded: messages may arrive a few seconds late", "warn"],
  starting: ["starting", "warn"],
  draining: ["draining: its clients move to others", "warn"],
  unhealthy: ["unhealthy", "bad"],
  silent: ["does not answer", "bad"],
  frozen: ["frozen", "bad"],
  gone: ["gone", "bad"],
};
const ORDERS = [
  ["kill", "Kill", "Ends it at once, like kill -9", (part) => part.pid !== null],
  ["stop", "Stop", "Ends it in order: an instance drains first", (part) => part.pid !== null],
  ["freeze", "Freeze", "It stands still, and its connections stay open", (part) => part.pid !== null && part.state !== "frozen"],
  ["thaw", "Thaw", "It goes on", (part) => part.state === "frozen"],
  ["start", "Start", "Starts it again", (part) => part.pid === null],
];

const find = (id) => document.getElementById(id);
const cards = new Map(); // by name
const states = new Map(); // by name, as last told
let timer = 0;
let turn = 0; // of two answers the younger counts

function card(row, name) {
  let element = cards.get(name);
  if (!element) {
    element = find("card").content.firstElementChild.cloneNode(true);
    element.dataset.testid = `part-${name}`;
    element.querySelector("h2").textContent = name;
    find(row).append(element);
    cards.set(name, element);
  }
  return element;
}

function show(row, name, [words, look], state, detail) {
  const element = card(row, name);
  element.dataset.look = look;
  element.dataset.state = state;
  put(element.querySelector(".state"), words);
  put(element.querySelector(".detail"), detail);
  return element;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function drawPart(part) {
  const words = WORDS[part.state] ?? [part.state, "warn"];
  const element = show(part.kind === "instance" ? "instances" : "services", part.name, words, part.state, detailOf(part));
  const buttons = element.querySelector(".buttons");
  for (const [order, label, title, isPossible] of ORDERS) {
    let button = buttons.querySelector(`[data-order=${order}]`);
    if (!button) {
      button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: label, title });
      button.dataset.order = order;
      button.setAttribute("aria-label", `${label} ${part.name}`);
      button.addEventListener("click", () => send(part.name, order, button));
      buttons.append(button);
    }
    button.disabled = !isPossible(part);
  }
  const before = states.get(part.name);
  if (before !== undefined && before !== part.state) tell(part.name, words[0]);
  states.set(part.name, part.state);
}

function detailOf(part) {
  const where = part.pid === null ? part.ending : `port ${part.port}, pid ${part.pid}`;
  return part.kind === "instance" ? `${many(part.connections, "connection")}; ${where}` : where;
}

function many(count, what) {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function draw(fleet) {
  const instances = fleet.parts.filter((part) => part.kind === "instance");
  const connections = instances.reduce((sum, part) => sum + part.connections, 0);
  const isServing = instances.some((part) => ["healthy", "degraded"].includes(part.state));
  const front = isServing ? ["spreads connections", "good"] : ["no instance serves", "bad"];
  show("front", "front", front, isServing ? "healthy" : "alone", `${many(connections, "connection")}; port ${fleet.front.port}`);
  fleet.parts.forEach(drawPart);
  if (!fleet.has_own_redis) show("services", "redis", ["of your own", ""], "", "HOLDFAST_REDIS__URL");
  show("services", "store", [fleet.store.is_own ? "a SQLite file" : "of your own", ""], "", fleet.store.where);
  join(instances);
}

// A line from the front to each instance, and from each to what it needs: whole where it says that it has it.
function join(instances) {
  const lines = [];
  for (const part of instances) {
    const isRunning = part.services !== undefined;
    lines.push(["front", part.name, isRunning && part.state !== "draining" ? "" : "cut"]);
    for (const [service, status] of Object.entries(part.services ?? { redis: "unknown", store: "unknown" })) {
      const to = service === "redis" ? "redis" : "store";
      lines.push([part.name, to, !isRunning ? "unused" : status === "connected" ? "" : "cut"]);
    }
  }
  const picture = find("picture").getBoundingClientRect();
  find("lines").replaceChildren(...lines.map(([from, to, look]) => line(picture, cards.get(from), cards.get(to), look)));
}

function line(picture, from, to, look) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const [above, below] = [from.getBoundingClientRect(), to.getBoundingClientRect()];
  const ends = {
    x1: above.left + above.width / 2 - picture.left,
    y1: above.bottom - picture.top,
    x2: below.left + below.width / 2 - picture.left,
    y2: below.top - picture.top,
  };
  for (const [name, value] of Object.entries(ends)) element.setAttribute(name, value);
  if (look) element.classList.add(look);
  return element;
}

function tell(name, words) {
  const entry = document.createElement("li");
  const subject = document.createElement("b");
  subject.textContent = name;
  entry.append(`${new Date().toLocaleTimeString()}  `, subject, ` ${words}`);
  find("changes").prepend(entry);
  while (find("changes").children.length > MAX_CHANGES) find("changes").lastElementChild.remove();
}

async function ask(path, options) {
  const mine = ++turn;
  try {
    const answer = await fetch(path, { ...options, signal: AbortSignal.timeout(ASK_MS), cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const fleet = await answer.json();
    if (mine !== turn) return;
    find("lost").hidden = true;
    draw(fleet);
  } catch {
    if (mine === turn) find("lost").hidden = false;
  }
}

async function send(part, order, button) {
  button.disabled = true;
  tell(part, `is told to ${order}`);
  await ask("/fleet/orders", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ part, order }),
  });
  look(HURRY_MS);
}

function look(pause) {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    await ask("/fleet/state");
    look(LOOK_MS);
  }, pause);
}

addEventListener("resize", () => look(HURRY_MS));
look(0);
