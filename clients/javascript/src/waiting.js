/** Waiting that ends with the client. Milliseconds everywhere. */

const LONGEST_TIMER_MS = 2 ** 31 - 1; // a timer of more fires at once

/** Time that only goes forward. */
export const now = () => performance.now();

/** @param {AbortSignal} signal */
const throwIfOver = (signal) => {
  if (signal.aborted) throw signal.reason;
};

/** Several may wait; one call of `ring` lets all of them go on. A ring before the wait counts. */
export class Bell {
  #isRung = false;
  /** @type {Set<() => void>} */
  #waiting = new Set();

  ring() {
    this.#isRung = true;
    for (const wake of this.#waiting) wake();
  }

  /** Forget a ring that came before. */
  mute() {
    this.#isRung = false;
  }

  /**
   * Until it is rung, for so long at most. Throws the signal's reason when the client ends.
   *
   * @param {AbortSignal} signal
   * @param {number} [ms]
   */
  async heard(signal, ms = LONGEST_TIMER_MS) {
    throwIfOver(signal);
    if (!this.#isRung) await this.#rung(signal, ms);
    throwIfOver(signal);
    this.#isRung = false;
  }

  /**
   * @param {AbortSignal} signal
   * @param {number} ms
   */
  #rung(signal, ms) {
    return new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.min(ms, LONGEST_TIMER_MS));
      signal.addEventListener("abort", wake);
      this.#waiting.add(wake);
    });
  }
}

/**
 * @param {AbortSignal} signal
 * @param {number} ms
 */
export const sleep = (signal, ms) => new Bell().heard(signal, ms);

/**
 * What comes of it, for so long at most. Throws a TimeoutError.
 *
 * @template T
 * @param {T | Promise<T>} work
 * @param {number} ms
 * @returns {Promise<T>}
 */
export async function within(work, ms) {
  /** @type {Deferred<never>} */
  const late = deferred();
  const timer = setTimeout(() => late.reject(new DOMException(`not done within ${ms / 1000} s`, "TimeoutError")), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The promise of a call, rejected where it throws. A promise that is listened to already stays so, unlike that of an async function.
 *
 * @template T
 * @param {() => Promise<T>} call
 * @returns {Promise<T>}
 */
export function promised(call) {
  try {
    return call();
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * @template T
 * @typedef {{ promise: Promise<T>, isSettled: boolean, resolve: (value: T) => void, reject: (error: unknown) => void }} Deferred
 */

/**
 * @template [T=void]
 * @returns {Deferred<T>}
 */
export function deferred() {
  /** @type {any} */
  const made = { isSettled: false };
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  const settled = () => (made.isSettled = true);
  made.promise.then(settled, settled); // whether it is listened to is for its user to decide
  return made;
}

/** An id that no other client makes. `crypto.randomUUID` is missing on pages without TLS. */
export const randomId = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
};
