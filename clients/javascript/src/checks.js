/** Finds sends that no instance would accept, before they are queued: such a send must not hold up the others. */

import { SendFailed } from "./errors.js";
import { isSeq } from "./frames.js";

/** @typedef {import("./frames.js").Limits} Limits */
/** @typedef {import("./frames.js").Seqs} Seqs */

const MAX_SEQ = 999_999_999_999; // twelve digits
const METADATA_LEVELS = 8;

const encoder = new TextEncoder();
/** @param {string} text */
const sizeOf = (text) => encoder.encode(text).length;
/** Half a surrogate pair has no form in UTF-8. @param {string} text */
const isWellFormed = (text) => !/\p{Cs}/u.test(text);

/**
 * @param {string} field
 * @param {string} detail
 */
const invalid = (field, detail) => new SendFailed("invalid_request", `${field}: ${detail}`, { retryable: false });

/** @param {unknown} value */
const isId = (value) => typeof value === "string" && /^[\w-]{1,128}$/.test(value) && !/^__.*__$/.test(value);

/**
 * @param {unknown} value
 * @param {string} field
 */
export function checkId(value, field) {
  if (!isId(value)) throw invalid(field, "an id is 1 to 128 of A-Z a-z 0-9 _ - and not __...__");
}

/** @param {unknown} value */
export function checkMessageId(value) {
  if (typeof value !== "string" || !/^\d{12}$/.test(value) || !Number(value)) {
    throw invalid("message_id", "a message id is 12 digits, from 1");
  }
}

/**
 * @param {unknown} value
 * @param {string} field
 */
export function checkFlag(value, field) {
  if (typeof value !== "boolean") throw invalid(field, `true or false expected, not ${typeof value}`);
}

/**
 * @param {unknown} text
 * @param {string} field
 * @returns {string}
 */
function checkedText(text, field) {
  if (typeof text !== "string") throw invalid(field, `text expected, not ${typeof text}`);
  if (!isWellFormed(text)) throw invalid(field, "half a surrogate pair cannot be encoded");
  return text;
}

/**
 * What JSON does not know is refused: it would arrive as something else.
 *
 * @param {any} value
 * @param {number} levels
 */
function checkJson(value, levels) {
  if (value === null || typeof value === "boolean") return;
  if (typeof value === "string") checkedText(value, "metadata");
  else if (typeof value === "number") {
    if (!Number.isFinite(value)) throw invalid("metadata", `${value} is not a number that JSON knows`);
  } else {
    if (!Array.isArray(value) && !isPlain(value)) throw invalid("metadata", `JSON knows no such ${typeof value}`);
    if (!levels) throw invalid("metadata", `nested deeper than ${METADATA_LEVELS}`);
    for (const name of Object.keys(value)) {
      checkedText(name, "metadata");
      checkJson(value[name], levels - 1);
    }
  }
}

/** @param {unknown} metadata of a message or a conversation, if there is any */
export function checkMetadata(metadata) {
  if (metadata == null) return;
  if (!isPlain(metadata)) throw invalid("metadata", "an object expected");
  checkJson(metadata, METADATA_LEVELS);
}

/** @param {any} value */
function isPlain(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return (prototype === null || Object.getPrototypeOf(prototype) === null) && typeof value.toJSON !== "function";
}

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
export function draftOf({ ref, conversationId, clientMessageId, body, metadata, readSeq }) {
  checkId(conversationId, "conversation_id");
  checkId(clientMessageId, "client_message_id");
  const bodyBytes = sizeOf(checkedText(body, "body"));
  if (!bodyBytes) throw invalid("body", "at least one character is needed");
  if (!isSeq(readSeq)) throw invalid("read_seq", "a seq expected");
  checkMetadata(metadata);
  const metadataText = metadata == null ? "" : JSON.stringify(metadata);
  const frame = { type: "send", ref, conversation_id: conversationId, client_message_id: clientMessageId, body };
  const text = JSON.stringify({ ...frame, ...(metadataText && { metadata }), read_seq: readSeq });
  return {
    ref,
    conversationId,
    clientMessageId,
    body,
    metadata: metadataText ? JSON.parse(metadataText) : null, // as it is sent, whatever the application does to its own
    text,
    frameBytes: sizeOf(text),
    bodyBytes,
    metadataBytes: sizeOf(metadataText),
    addedAt: Date.now(),
  };
}

/**
 * Code and detail of what an instance with these limits would answer; null when it fits.
 *
 * @param {Draft} draft
 * @param {Limits} limits
 * @returns {[string, string] | null}
 */
export function excess(draft, limits) {
  if (draft.bodyBytes > limits.body_bytes) return ["body_too_large", `body: at most ${limits.body_bytes} bytes of UTF-8`];
  if (draft.metadataBytes > limits.metadata_bytes) return ["invalid_request", `metadata: at most ${limits.metadata_bytes} bytes`];
  if (draft.frameBytes > limits.frame_bytes) return ["frame_too_large", `at most ${limits.frame_bytes} bytes in one frame`];
  return null;
}

/**
 * What the application kept, checked. null: it starts with what is new.
 *
 * @param {any} cursors
 * @returns {Map<string, number> | null}
 */
export function checkedCursors(cursors) {
  if (cursors == null) return null;
  if (!isPlain(cursors)) throw new TypeError("cursors: an object or null expected");
  const checked = new Map(Object.entries(cursors));
  for (const [id, seq] of checked) {
    if (!isId(id)) throw new TypeError("cursors: a name is no conversation id");
    if (!isSeq(seq) || seq > MAX_SEQ) throw new TypeError(`cursors: ${id}: a seq from 0 to ${MAX_SEQ} expected`);
  }
  return checked;
}

/**
 * A name or a generation.
 *
 * @param {unknown} text
 * @param {string} field
 * @param {number} most characters
 * @returns {string}
 */
export function checkedShort(text, field, most) {
  if (typeof text !== "string" || [...text].length > most || !isWellFormed(text)) {
    throw new TypeError(`${field}: text of at most ${most} characters expected`);
  }
  return text;
}
