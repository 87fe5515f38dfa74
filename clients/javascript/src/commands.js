/** Commands that are asked once and not repeated: read and typing. A command without an answer of its connection has failed. */

import { checkFlag, checkId, checkMessageId } from "./checks.js";
import { SendFailed } from "./errors.js";
import { deferred, randomId } from "./waiting.js";

/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./frames.js").Ok} Ok */

const ANSWER_MS = 10_000;

export class Commands {
  /** @type {Map<string, { connection: Connection, answer: import("./waiting.js").Deferred<Ok> }>} by ref */
  #asked = new Map();

  /**
   * @param {Connection | null} connection
   * @param {string} conversationId
   * @param {string} messageId
   * @returns {Promise<Ok>}
   */
  async read(connection, conversationId, messageId) {
    checkId(conversationId, "conversation_id");
    checkMessageId(messageId);
    if (!connection) throw new SendFailed("unreachable", "there is no connection now");
    const ref = randomId();
    /** @type {import("./waiting.js").Deferred<Ok>} */
    const answer = deferred();
    this.#asked.set(ref, { connection, answer });
    const timer = setTimeout(() => answer.reject(new SendFailed("unreachable", "no answer", { outcome: "unknown" })), ANSWER_MS);
    try {
      connection.send({ type: "read", ref, conversation_id: conversationId, message_id: messageId });
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#asked.delete(ref);
    }
  }

  /**
   * @param {Connection | null} connection
   * @param {string} conversationId
   * @param {boolean} active
   */
  typing(connection, conversationId, active) {
    checkId(conversationId, "conversation_id");
    checkFlag(active, "active");
    connection?.send({ type: "typing", conversation_id: conversationId, active });
  }

  /** @param {Ok} frame */
  answered(frame) {
    this.#asked.get(frame.ref)?.answer.resolve(frame);
  }

  /** Whether the error is about one of ours, which has failed then. @param {import("./frames.js").ErrorFrame} frame */
  failed({ ref = "", code, detail, outcome = "refused", retryable }) {
    const asked = this.#asked.get(ref);
    asked?.answer.reject(new SendFailed(code, detail, { outcome, retryable }));
    return asked !== undefined;
  }

  /** The connection ended: what was asked there gets no answer. @param {Connection} connection */
  lost(connection) {
    for (const asked of this.#asked.values()) {
      if (asked.connection !== connection) continue;
      asked.answer.reject(new SendFailed("unreachable", "the connection ended", { outcome: "unknown" }));
    }
  }
}
