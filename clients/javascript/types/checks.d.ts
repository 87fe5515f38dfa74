/**
 * @param {unknown} value
 * @param {string} field
 */
export function checkId(value: unknown, field: string): void;
/** @param {unknown} value */
export function checkMessageId(value: unknown): void;
/**
 * @param {unknown} value
 * @param {string} field
 */
export function checkFlag(value: unknown, field: string): void;
/** @param {unknown} metadata of a message or a conversation, if there is any */
export function checkMetadata(metadata: unknown): void;
/**
 * A send that is well-formed. `text`: the frame as it is written; sizes in bytes of UTF-8.
 *
 * @typedef {object} Draft
 * @property {string} ref
 * @property {string} conversationId
 * @property {string} clientMessageId
 * @property {string} body
 * @property {Record<string, unknown> | null} metadata
 * @property {string} text
 * @property {number} frameBytes
 * @property {number} bodyBytes
 * @property {number} metadataBytes
 * @property {number} addedAt when it was queued the last time: of the clock on the wall, which goes on while the machine sleeps
 * @property {number} [triedAt] when it was sent for the first time, by the same clock
 */
/**
 * Check and encode. `readSeq`: the last message of the conversation that the application had taken.
 *
 * @param {{ ref: string, conversationId: string, clientMessageId: string, body: string, metadata: any, readSeq: number }} wanted
 * @returns {Draft}
 */
export function draftOf({ ref, conversationId, clientMessageId, body, metadata, readSeq }: {
    ref: string;
    conversationId: string;
    clientMessageId: string;
    body: string;
    metadata: any;
    readSeq: number;
}): Draft;
/**
 * Code and detail of what an instance with these limits would answer; null when it fits.
 *
 * @param {Draft} draft
 * @param {Limits} limits
 * @returns {[string, string] | null}
 */
export function excess(draft: Draft, limits: Limits): [string, string] | null;
/**
 * What the application kept, checked. null: it starts with what is new.
 *
 * @param {any} cursors
 * @returns {Map<string, number> | null}
 */
export function checkedCursors(cursors: any): Map<string, number> | null;
/**
 * A name or a generation.
 *
 * @param {unknown} text
 * @param {string} field
 * @param {number} most characters
 * @returns {string}
 */
export function checkedShort(text: unknown, field: string, most: number): string;
/**
 * A send that is well-formed. `text`: the frame as it is written; sizes in bytes of UTF-8.
 */
export type Draft = {
    ref: string;
    conversationId: string;
    clientMessageId: string;
    body: string;
    metadata: Record<string, unknown> | null;
    text: string;
    frameBytes: number;
    bodyBytes: number;
    metadataBytes: number;
    /**
     * when it was queued the last time: of the clock on the wall, which goes on while the machine sleeps
     */
    addedAt: number;
    /**
     * when it was sent for the first time, by the same clock
     */
    triedAt?: number | undefined;
};
export type Limits = import("./frames.js").Limits;
export type Seqs = import("./frames.js").Seqs;
