/** Who is there, as far as the service has told. */

/** @typedef {{ readonly online: boolean, readonly lastSeenAt: string | null }} PresenceView */

const MAX_KNOWN = 20_000; // those that changed last

export class Presences {
  /** @type {Map<string, PresenceView>} by user */
  #known = new Map();

  /** @param {string} userId */
  of(userId) {
    return this.#known.get(userId);
  }

  /**
   * @param {string} userId
   * @param {boolean} online
   * @param {string | null} lastSeenAt
   */
  learn(userId, online, lastSeenAt) {
    const before = this.#known.get(userId);
    if (before?.online === online && before.lastSeenAt === lastSeenAt) return;
    this.#known.delete(userId);
    this.#known.set(userId, Object.freeze({ online, lastSeenAt }));
    if (this.#known.size > MAX_KNOWN) this.#known.delete(/** @type {string} */ (this.#known.keys().next().value));
  }
}
