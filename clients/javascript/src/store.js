/** Where a client keeps what it needs, so that the next client goes on where this one was. */

/** @typedef {import("./checks.js").Draft} Draft */
/** @typedef {import("./frames.js").Message} Message */

/** `cursors`: conversation -> seq of the last message that the application has done with; `generation`: of the store they are of. */
/** @typedef {{ cursors: Record<string, number>, generation: string }} Position */
/**
 * A send that is not stored. `error`: why it failed; null while it is still to be sent.
 *
 * @typedef {object} KeptSend
 * @property {Draft} draft
 * @property {{ code: string, detail: string, outcome: "refused" | "unknown", retryable: boolean } | null} error
 */
/**
 * `load` and `save` are all that a store has to have. Each call but `leftSends` may take 10 s, and a call that failed is not repeated.
 *
 * @typedef {object} Store
 * @property {() => Promise<Position | null>} load null where nothing was kept
 * @property {(position: Position, messages: Message[]) => Promise<void>} save with the messages that the application has done with
 *   since the last call: all of it or nothing. A position that is behind the last one comes from a reset. It is not called again
 *   before it is done, or has taken 10 s
 * @property {(sends: Map<string, KeptSend | null>) => Promise<void>} [saveSends] what changed; null: it is stored, or discarded
 * @property {(signal: AbortSignal) => Promise<KeptSend[]>} [leftSends] waits until there are sends of clients that have ended, which
 *   are this client's from then on. The signal: this client has ended
 * @property {(conversationId: string) => Promise<Message[]>} [messages] the newest before this client's own, without a gap
 * @property {() => Promise<void>} [close] the client has ended; it may be called twice, and the others after it
 * @property {string} [userId] a connection as another user ends the client with `store_failed`
 */

const MOST_MESSAGES = 1_000;

/**
 * Keeps all of it as long as the page or process lives, and of messages the last 1,000. One client at a time uses it.
 *
 * @returns {Required<Pick<Store, "load" | "save" | "saveSends" | "leftSends" | "messages">>}
 */
export function memoryStore() {
  /** @type {Position | null} */
  let kept = null;
  /** @type {Position | null} */
  let loaded = null;
  /** @type {Message[]} */
  let done = [];
  /** @type {Map<string, KeptSend>} */
  const sends = new Map();
  /** @type {KeptSend[]} */
  let left = [];
  return {
    load: async () => {
      left = [...sends.values()];
      return (loaded = kept);
    },
    save: async (position, messages) => {
      if (kept?.generation !== position.generation) done = [];
      done = [...done, ...messages].slice(-MOST_MESSAGES);
      kept = position;
    },
    saveSends: async (changes) => {
      for (const [id, send] of changes) send ? sends.set(id, send) : sends.delete(id);
    },
    leftSends: (signal) =>
      new Promise((resolve) => {
        if (left.length || signal.aborted) resolve(left.splice(0));
        else signal.addEventListener("abort", () => resolve([]));
      }),
    messages: async (id) => endingAt(loaded?.cursors[id] ?? 0, done.filter((each) => each.conversation_id === id)),
  };
}

/**
 * Those up to the cursor without a gap. Where numbers begin again the conversation was reset.
 *
 * @param {number} cursor
 * @param {Message[]} messages of one conversation
 */
export function endingAt(cursor, messages) {
  /** @type {Message[]} */
  let run = [];
  for (const each of messages) {
    if (each.seq > cursor) continue;
    if (run.at(-1)?.seq !== each.seq - 1) run = [];
    run.push(each);
  }
  return run.at(-1)?.seq === cursor ? run : [];
}
