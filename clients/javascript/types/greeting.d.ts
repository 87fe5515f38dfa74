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
export function greetingOf(streams: import("./streams.js").Streams, limits: Limits, client: string): Greeting;
/**
 * What the instance would have told of the cursors that were left out: none of another store's is valid.
 *
 * @param {Greeting} greeting
 * @param {string | undefined} generation of the store
 * @param {Record<string, number>} heads
 * @returns {Reset[]}
 */
export function resetsOf({ generation: said, leftOut }: Greeting, generation: string | undefined, heads: Record<string, number>): Reset[];
/**
 * A `hello`, its number from 1, and the conversations whose cursors found no place.
 */
export type Greeting = {
    ref: string;
    text: string;
    number: number;
    generation: string;
    leftOut: string[];
};
export type Limits = import("./frames.js").Limits;
export type Reset = import("./frames.js").Reset;
