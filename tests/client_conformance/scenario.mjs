/**
 * Plays one scenario with the JavaScript client, on Node or in a page; README.md says what scenarios are.
 *
 * @typedef {object} Host what plays the server
 * @property {(gate: string) => void} open
 * @property {() => Promise<object[]>} log of the server
 */

const LOOK_MS = 10;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

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
function tokenOf(wanted, Unauthorized) {
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

/** One scenario, and what came of it so far. */
class Play {
  result = { shown: [], events: [], outcomes: {}, refused: "", stopped: null, cursors: {} };
  #commands = new Map();

  constructor(module, host) {
    this.module = module;
    this.host = host;
  }

  /** @returns the result of it, when the client is closed */
  async run({ scenario, port }) {
    const client = this.#made(expanded(scenario.client ?? {}), port);
    if (!client) return this.result;
    client.on("*", ({ type, code, detail, error, conversation_id }) => {
      this.result.events.push({ event: type, code, detail, error, conversation_id });
    });
    const taking = this.#take(client);
    client.start();
    for (const step of scenario.steps ?? []) {
      const [[verb, argument]] = Object.entries(step);
      await this[verb](client, argument);
    }
    this.result.cursors = client.cursors;
    await client.close();
    await taking;
    await Promise.all(this.#commands.values());
    return this.result;
  }

  #made(wanted, port) {
    const urls = (wanted.urls ?? ["http://127.0.0.1:PORT"]).map((url) => url.replace("PORT", port));
    const { cursors = {}, generation, name, token = "token" } = wanted;
    try {
      const options = { urls: wanted.urls_as_text ?? urls, token: tokenOf(token, this.module.Unauthorized), cursors, generation, name };
      return new this.module.Client(options);
    } catch (error) {
      this.result.refused = String(error);
      return null;
    }
  }

  async #take(client) {
    try {
      for await (const message of client.messages()) this.result.shown.push(`${message.conversation_id}:${message.seq}`);
    } catch (error) {
      this.result.stopped = { code: error.code, detail: error.detail };
    }
  }

  #command(name, call) {
    this.#commands.set(name, this.#settle(name, call));
  }

  async #settle(name, call) {
    const { outcomes } = this.result;
    try {
      const answer = await call();
      outcomes[name] = { done: true, ...(answer?.seq !== undefined && { seq: answer.seq }) };
    } catch (error) {
      const { code, detail, outcome, retryable } = error;
      if (error instanceof this.module.SendFailed) outcomes[name] = { error: { code, detail, outcome, retryable } };
      else if (error instanceof this.module.ClientStopped) outcomes[name] = { error: { code, detail } };
      else outcomes[name] = { raised: String(error) };
    }
  }

  // --- the verbs of a scenario's steps ------------------------------------------------------------------------------

  send(client, wanted) {
    const { conversation_id = "c", body = "text", metadata, client_message_id: clientMessageId, as } = expanded(wanted);
    this.#command(as, async () => client.send(conversation_id, body, { metadata, clientMessageId }));
  }

  read(client, wanted) {
    const { conversation_id = "c", message_id, as } = expanded(wanted);
    this.#command(as, async () => client.read(conversation_id, message_id));
  }

  typing(client, wanted) {
    const { conversation_id, active, as } = expanded(wanted);
    this.#command(as, async () => client.typing(conversation_id, active));
  }

  await(_, names) {
    return Promise.all(names.map((name) => this.#commands.get(name)));
  }

  await_event(_, wanted) {
    return until(() => this.result.events.some((event) => contains(event, wanted)));
  }

  await_shown(_, wanted) {
    return until(() => wanted.every((each) => this.result.shown.includes(each)));
  }

  await_stop() {
    return until(() => this.result.stopped);
  }

  await_server(_, wanted) {
    return until(async () => (await this.host.log()).some((entry) => contains(entry, wanted)));
  }

  open(_, gate) {
    return this.host.open(gate);
  }

  look(_, seconds) {
    return pause(seconds * 1000);
  }
}

/**
 * @param {object} module the client's
 * @param {{ scenario: object, port: number }} wanted
 * @param {Host} host
 * @returns what came of it, as the last line of a driver has it
 */
export async function play(module, wanted, host) {
  const { random } = Math;
  if (wanted.scenario.pauses !== "real") Math.random = () => random() / 50; // the pauses have full jitter
  try {
    return await new Play(module, host).run(wanted);
  } finally {
    Math.random = random;
  }
}
