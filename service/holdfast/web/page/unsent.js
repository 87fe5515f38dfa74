/* Sends of this tab that are not stored outlive a reload: they are sent again, under the same ids, and so they are stored once. */

const KEEP_MS = 6 * 24 * 3_600_000; // the service knows an id for seven days

export class UnsentMessages {
  #view;
  #key;
  #kept = null;

  constructor(view, userId) {
    this.#view = view;
    this.#key = `holdfast.unsent.${userId}`;
  }

  /* Send again what an earlier page of this tab has left, in its order. */
  restore() {
    for (const { conversationId, clientMessageId, body, queuedAt } of this.#read()) {
      if (Date.now() - Date.parse(queuedAt) < KEEP_MS) this.#view.send(conversationId, body, { clientMessageId });
    }
  }

  /* After each change. A connection that has ended for good has not sent what it fails. */
  keep() {
    const entries = this.#view.outbox();
    if (entries === this.#kept || this.#view.connection().name === "stopped") return;
    this.#kept = entries;
    try {
      const fields = ({ conversationId, clientMessageId, body, queuedAt }) => ({ conversationId, clientMessageId, body, queuedAt });
      sessionStorage.setItem(this.#key, JSON.stringify(entries.map(fields)));
    } catch {
      // no storage here: they live as long as the page
    }
  }

  #read() {
    try {
      return JSON.parse(sessionStorage.getItem(this.#key) ?? "[]");
    } catch {
      return [];
    }
  }
}
