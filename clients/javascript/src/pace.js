/** How fast sends go out: a little slower than the service allows, and not at all while it asks for a pause. */

const SHARE = 0.9; // of the announced rate: the two clocks differ
const BURST_MS = 1_000; // so much of the rate goes out at once; the service's own burst is not announced

/** A token bucket, kept as the time at which it would be full. Pure: time comes in. */
export class Pace {
  #fullAt = 0;

  /** When the next send may go out; it may lie in the past. */
  get nextAt() {
    return this.#fullAt - BURST_MS;
  }

  /**
   * One went out under these limits; a rate of 0, or none, limits nothing.
   *
   * @param {number} now
   * @param {import("./frames.js").Limits} limits
   */
  sent(now, { sends_per_second, frames_per_second }) {
    const rate = Math.min(sends_per_second || Infinity, frames_per_second || Infinity);
    this.#fullAt = Math.max(this.#fullAt, now) + 1_000 / (SHARE * rate);
  }

  /** Nothing goes out until then, and no burst after it: the service's bucket is empty as well. @param {number} until */
  pause(until) {
    this.#fullAt = Math.max(this.#fullAt, until + BURST_MS);
  }
}
