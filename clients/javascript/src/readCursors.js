/**
 * The read cursors of others, as the application was told: forward only.
 *
 * While one connection takes over from another both bring the same receipts. Receipts that the new one held back during its replay
 * are older than those of the old one meanwhile.
 */

/** @typedef {import("./frames.js").Receipt} Receipt */

const MAX_KNOWN = 20_000; // those that moved last

export class ReadCursors {
  /** @type {Map<string, { conversation: string, seq: number }>} */
  #known = new Map();

  /** Whether it is news. @param {Receipt} receipt */
  moved({ conversation_id: conversation, user_id, seq }) {
    const key = `${conversation} ${user_id}`;
    if (seq <= (this.#known.get(key)?.seq ?? 0)) return false;
    this.#known.delete(key); // the last one that moved is the last one of the map
    this.#known.set(key, { conversation, seq });
    if (this.#known.size > MAX_KNOWN) this.#known.delete(/** @type {string} */ (this.#known.keys().next().value));
    return true;
  }

  /** It was reset: whatever was read of it is something else. @param {string} conversation */
  forget(conversation) {
    for (const [key, known] of this.#known) if (known.conversation === conversation) this.#known.delete(key);
  }
}
