/** Where a client keeps its position, so that the next client goes on where this one was. */

/** `cursors`: conversation -> seq of the last message that the application has done with; `generation`: of the store they are of. */
/** @typedef {{ cursors: Record<string, number>, generation: string }} Position */
/**
 * One client at a time writes. Each call may take 10 s. `save` is not called again before it is done, or has taken that long.
 *
 * @typedef {object} Store
 * @property {() => Promise<Position | null>} load null where nothing was kept
 * @property {(position: Position) => Promise<void>} save
 */

/**
 * Keeps the position as long as the page or process lives.
 *
 * @returns {Store}
 */
export function memoryStore() {
  /** @type {Position | null} */
  let kept = null;
  return {
    load: async () => kept,
    save: async (position) => {
      kept = position;
    },
  };
}
