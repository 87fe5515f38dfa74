/**
 * The client's first frame on a connection: its cursors, as many as the instance takes in one frame.
 *
 * Nothing is lost by a cursor that does not fit. The instance then replays that conversation from the beginning of the membership.
 * Known messages are not shown again, and messages that the replay leaves out are paged from the cursor on. Two checks remain:
 * whether a cursor lies beyond the end, because the store was restored (`Streams.synced`), or is of another store (`resetsOf`).
 */

/** @typedef {import("./frames.js").Limits} Limits */
/** @typedef {import("./frames.js").Reset} Reset */

const AROUND_BYTES = 768; // all of the frame but its cursors: type, ref, generation, 64 characters of a name of up to 6 bytes
const PUNCTUATION_BYTES = 4; // of one cursor: two quotes, a colon, a comma

/**
 * A `hello`, its number from 1, and the conversations whose cursors found no place.
 *
 * @typedef {{ ref: string, text: string, number: number, generation: string, leftOut: string[] }} Greeting
 */

/**
 * With the highest cursors where not all fit: the lower a cursor, the fewer messages are replayed for nothing.
 *
 * @param {import("./streams.js").Streams} streams
 * @param {Limits} limits
 * @param {string} client
 * @returns {Greeting}
 */
export function greetingOf(streams, limits, client) {
  const number = streams.greet();
  const ref = `hello-${number}`;
  const { cursors, generation } = streams;
  /** @type {Map<string, number>} */
  const said = new Map();
  let room = limits.frame_bytes - AROUND_BYTES;
  for (const [id, seq] of [...(cursors ?? [])].sort((one, other) => other[1] - one[1]).slice(0, limits.cursors)) {
    room -= id.length + String(seq).length + PUNCTUATION_BYTES;
    if (room < 0) break;
    said.set(id, seq);
  }
  const position = cursors && { cursors: Object.fromEntries(said), ...(generation && { generation }) };
  return {
    ref,
    text: JSON.stringify({ type: "hello", ref, ...(client && { client }), ...position }),
    number,
    generation: cursors ? generation : "",
    leftOut: [...(cursors?.keys() ?? [])].filter((id) => !said.has(id)),
  };
}

/**
 * What the instance would have told of the cursors that were left out: none of another store's is valid.
 *
 * @param {Greeting} greeting
 * @param {string | undefined} generation of the store
 * @param {Record<string, number>} heads
 * @returns {Reset[]}
 */
export function resetsOf({ generation: said, leftOut }, generation, heads) {
  if (!said || !generation || said === generation) return [];
  return leftOut.flatMap((id) =>
    Object.hasOwn(heads, id) ? [{ type: "reset", conversation_id: id, last_seq: Number(heads[id]) }] : [],
  );
}
