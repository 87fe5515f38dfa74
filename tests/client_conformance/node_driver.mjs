/**
 * Plays one scenario with the JavaScript client: `node node_driver.mjs ENTRY`, with lines of JSON; README.md says which.
 *
 * ENTRY is the client's module: a test may name an altered copy.
 */

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { Client, ClientStopped, SendFailed, Unauthorized } = await import(pathToFileURL(process.argv[2]));

const LOOK_MS = 10;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const hear = async () => JSON.parse((await lines.next()).value);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const played = { shown: [], events: [], outcomes: {}, refused: "", stopped: null, cursors: {} };
const commands = new Map();

/** Whether an object has these members, each of which contains what is wanted of it; anything else is compared. */
function contains(whole, part) {
  if (typeof part !== "object" || part === null) return whole === part;
  if (Array.isArray(part)) return Array.isArray(whole) && whole.length === part.length && part.every((each, at) => contains(whole[at], each));
  return typeof whole === "object" && whole !== null && Object.entries(part).every(([name, wanted]) => name in whole && contains(whole[name], wanted));
}

/** A scenario's value with its `$` forms made real. */
function expanded(value) {
  if (Array.isArray(value)) return value.map(expanded);
  if (typeof value !== "object" || value === null) return value;
  if ("$repeat" in value) return value.$repeat.repeat(value.times);
  if ("$number" in value) return value.$number === "nan" ? NaN : Infinity;
  if ("$bytes" in value) return new TextEncoder().encode(value.$bytes);
  if ("$object" in value) return new (class Something {})();
  if ("$numbered" in value) return new Map([[1, value.$numbered]]);
  if ("$nested" in value) return Array.from({ length: value.$nested - 1 }).reduce((inner) => ({ deeper: inner }), {});
  if ("$cursors" in value) {
    return Object.fromEntries(Array.from({ length: value.$cursors }, (_, at) => [String(at).padStart(value.id_length, "0"), value.seq]));
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, expanded(each)]));
}

/** A text; or a function that gives these answers in turn, the last one again and again. */
function tokenOf(wanted) {
  if (typeof wanted !== "object" || wanted === null) return wanted;
  const answers = [...wanted.hook];
  return async () => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer?.fails) throw new Error(answer.fails);
    if (answer?.cancelled) throw new DOMException("cancelled", "AbortError");
    if (answer?.stops) throw new Unauthorized("log in again", answer.stops);
    return expanded(answer);
  };
}

async function until(isSo) {
  while (!(await isSo())) await pause(LOOK_MS);
}

async function settle(name, call) {
  try {
    const answer = await call();
    played.outcomes[name] = { done: true, ...(answer?.seq !== undefined && { seq: answer.seq }) };
  } catch (error) {
    const { code, detail, outcome, retryable } = error;
    if (error instanceof SendFailed) played.outcomes[name] = { error: { code, detail, outcome, retryable } };
    else if (error instanceof ClientStopped) played.outcomes[name] = { error: { code, detail } };
    else played.outcomes[name] = { raised: String(error) };
  }
}

const command = (fields, call) => commands.set(fields.as, settle(fields.as, call));

const verbs = {
  send(client, wanted) {
    const { conversation_id = "c", body = "text", metadata, client_message_id: clientMessageId, ...fields } = expanded(wanted);
    command(fields, async () => client.send(conversation_id, body, { metadata, clientMessageId }));
  },
  read(client, wanted) {
    const { conversation_id = "c", message_id, ...fields } = expanded(wanted);
    command(fields, async () => client.read(conversation_id, message_id));
  },
  typing(client, wanted) {
    const { conversation_id, active, ...fields } = expanded(wanted);
    command(fields, async () => client.typing(conversation_id, active));
  },
  await: (_, names) => Promise.all(names.map((name) => commands.get(name))),
  await_event: (_, wanted) => until(() => played.events.some((event) => contains(event, wanted))),
  await_shown: (_, wanted) => until(() => wanted.every((each) => played.shown.includes(each))),
  await_stop: () => until(() => played.stopped),
  await_server: (_, wanted) =>
    until(async () => {
      say({ log: true });
      return (await hear()).log.some((entry) => contains(entry, wanted));
    }),
  open: (_, gate) => say({ open: gate }),
  look: (_, seconds) => pause(seconds * 1000),
};

async function takeMessages(client) {
  try {
    for await (const message of client.messages()) played.shown.push(`${message.conversation_id}:${message.seq}`);
  } catch (error) {
    played.stopped = { code: error.code, detail: error.detail };
  }
}

async function play({ scenario, port }) {
  if (scenario.pauses !== "real") {
    const { random } = Math; // the pauses have full jitter
    Math.random = () => random() / 50;
  }
  const wanted = expanded(scenario.client ?? {});
  const urls = (wanted.urls ?? ["http://127.0.0.1:PORT"]).map((url) => url.replace("PORT", port));
  const { cursors = {}, generation, name, token = "token" } = wanted;
  let client;
  try {
    client = new Client({ urls: wanted.urls_as_text ?? urls, token: tokenOf(token), cursors, generation, name });
  } catch (error) {
    played.refused = String(error);
    return;
  }
  client.on("*", ({ type, code, detail, error, conversation_id }) => {
    played.events.push({ event: type, code, detail, error, conversation_id });
  });
  const taking = takeMessages(client);
  client.start();
  for (const step of scenario.steps ?? []) {
    const [[verb, argument]] = Object.entries(step);
    await verbs[verb](client, argument);
  }
  played.cursors = client.cursors;
  await client.close();
  await taking;
  await Promise.all(commands.values());
}

say({ ready: true });
await play(await hear());
process.stdout.write(`${JSON.stringify({ played })}\n`, () => process.exit(0));
