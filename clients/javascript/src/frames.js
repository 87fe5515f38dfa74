/** The frames of the service, as docs/protocol.md has them. A frame of a type or shape that is not known is passed over. */

/** @typedef {Record<string, number>} Seqs by conversation */
/** @typedef {{ body_bytes: number, metadata_bytes: number, frame_bytes: number, cursors: number } & Record<string, number>} Limits */
/**
 * A message, as docs/protocol.md has it. `seq` is its place in the conversation, from 1 and without gaps.
 *
 * @typedef {object} Message
 * @property {string} conversation_id
 * @property {number} seq
 * @property {string} message_id
 * @property {string} sender
 * @property {string} body
 * @property {string} client_message_id
 * @property {string} sent_at RFC 3339, UTC
 * @property {Record<string, unknown> | null} [metadata]
 */
/** @typedef {Message & { type: "message" }} MessageFrame */
/**
 * @typedef {object} Welcome
 * @property {"welcome"} type
 * @property {string} user_id
 * @property {string} connection_id
 * @property {string} instance_id
 * @property {number} keepalive_ms
 * @property {Limits} limits
 * @property {string[]} [degraded] dependencies of the service that do not work
 * @property {string} [generation]
 */
/** @typedef {{ type: "truncated", conversation_id: string, from_seq: number, to_seq: number }} Truncated */
/** @typedef {{ type: "reset", conversation_id: string, last_seq: number }} Reset */
/** @typedef {{ type: "synced", heads: Seqs, revisions: Seqs, read_seqs?: Seqs }} Synced */
/**
 * A message is stored.
 *
 * @typedef {object} Ack
 * @property {"ack"} type
 * @property {string} [ref]
 * @property {string} conversation_id
 * @property {string} client_message_id
 * @property {string} message_id
 * @property {number} seq
 * @property {string} sent_at
 * @property {boolean} duplicate it was stored before
 */
/** @typedef {{ type: "ok", ref: string, conversation_id?: string, message_id?: string, seq?: number, read_at?: string }} Ok */
/**
 * @typedef {object} ErrorFrame
 * @property {"error"} type
 * @property {string} code
 * @property {string} detail
 * @property {boolean} retryable
 * @property {string} [ref]
 * @property {string} [conversation_id]
 * @property {string} [client_message_id]
 * @property {"refused" | "unknown"} [outcome]
 * @property {number} [retry_after_ms]
 */
/**
 * @typedef {object} ConversationNotice
 * @property {"conversation"} type
 * @property {string} conversation_id
 * @property {"created" | "updated" | "member_added" | "member_removed"} event
 * @property {string} by
 * @property {number} revision
 * @property {string} [user_id]
 * @property {{ last_seq: number } & Record<string, unknown>} [conversation]
 */
/** @typedef {{ type: "receipt", conversation_id: string, user_id: string, message_id: string, seq: number, read_at: string }} Receipt */
/** @typedef {{ type: "typing", conversation_id: string, user_id: string, active: boolean, expires_in_ms: number }} TypingNotice */
/** @typedef {{ type: "presence", user_id: string, online: boolean, last_seen_at: string | null }} Presence */
/** @typedef {{ type: "degraded" | "restored", dependencies: string[] }} Degraded */
/** @typedef {{ type: "draining", reconnect_after_ms: number, closes_in_ms: number }} Draining */
/** @typedef {{ type: "token_expiring", expires_at: string } | { type: "pong" }} Plain */
/**
 * Frames that the application is told of.
 *
 * @typedef {Welcome | Synced | ConversationNotice | Receipt | TypingNotice | Presence | Degraded | Reset} Told
 */
/** @typedef {MessageFrame | Truncated | Ack | Ok | ErrorFrame | Draining | Plain | Told} ServerFrame */

/** @param {unknown} value */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
/** @param {unknown} value */
const isText = (value) => typeof value === "string";
/** @param {unknown} value */
export const isSeq = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
/** @param {any} value */
const areSeqs = (value) => isObject(value) && Object.values(value).every(isSeq);
/** @param {unknown} value */
const isFlag = (value) => typeof value === "boolean";
/** @param {any} value */
const isSummary = (value) => value == null || (isObject(value) && isSeq(value.last_seq));
/** @param {any} value */
const areLimits = (value) =>
  isObject(value) && ["body_bytes", "metadata_bytes", "frame_bytes", "cursors"].every((name) => isSeq(value[name]));

const conversation_id = isText;
const user_id = isText;
const dependencies = Array.isArray;
const MESSAGE = {
  conversation_id,
  seq: isSeq,
  message_id: isText,
  sender: isText,
  body: isText,
  client_message_id: isText,
  sent_at: isText,
};

/** What the client relies on, by type. @type {Record<string, Record<string, (value: any) => boolean>>} */
const SHAPES = {
  welcome: { user_id, connection_id: isText, instance_id: isText, keepalive_ms: isSeq, limits: areLimits },
  message: MESSAGE,
  truncated: { conversation_id, from_seq: isSeq, to_seq: isSeq },
  reset: { conversation_id, last_seq: isSeq },
  synced: { heads: areSeqs, revisions: areSeqs },
  ack: { conversation_id, client_message_id: isText, seq: isSeq },
  ok: { ref: isText },
  error: { code: isText, detail: isText, retryable: isFlag },
  conversation: { conversation_id, event: isText, revision: isSeq, conversation: isSummary },
  receipt: { conversation_id, user_id, seq: isSeq },
  typing: { conversation_id, user_id, active: isFlag },
  presence: { user_id, online: isFlag },
  degraded: { dependencies },
  restored: { dependencies },
  draining: { reconnect_after_ms: isSeq },
  token_expiring: {},
  pong: {},
};

/**
 * @param {any} value
 * @param {Record<string, (value: any) => boolean>} shape
 */
const fits = (value, shape) => isObject(value) && Object.entries(shape).every(([name, is]) => is(value[name]));

/**
 * @param {unknown} value
 * @returns {value is Message}
 */
export const isMessage = (value) => fits(value, MESSAGE);

/**
 * A frame; null for one of a type or shape that this version does not know.
 *
 * @param {unknown} text
 * @returns {ServerFrame | null}
 */
export function decode(text) {
  try {
    const frame = JSON.parse(String(text));
    const shape = isObject(frame) && Object.hasOwn(SHAPES, frame.type) && SHAPES[frame.type];
    return shape && fits(frame, shape) ? frame : null;
  } catch {
    return null;
  }
}
