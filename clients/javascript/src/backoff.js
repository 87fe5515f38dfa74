/** How long to wait before connecting again, and whether at all, by close code. */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * Full jitter: up to 0.5 s at the first attempt (0), up to 30 s later. `atLeast`: the pause that the service asks for.
 *
 * @param {number} attempt
 * @param {number} [atLeast]
 */
export const pause = (attempt, atLeast = 0) =>
  Math.min(LONGEST_MS, atLeast) + Math.random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));

/**
 * Whether a close code says: stop, and tell the application.
 *
 * @param {number} code
 */
export const isFinal = (code) => code === 1000 || code === 1008 || (code >= 4500 && code <= 4999);

/**
 * Whether a close code says that we sent what must not be sent again.
 *
 * @param {number} code
 */
export const isOurMistake = (code) => code === 1002 || code === 1003 || code === 1007 || code === 1009;
