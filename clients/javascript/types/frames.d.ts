/**
 * A frame; null for one of a type or shape that this version does not know.
 *
 * @param {unknown} text
 * @returns {ServerFrame | null}
 */
export function decode(text: unknown): ServerFrame | null;
export function isSeq(value: unknown): boolean;
export function isMessage(value: unknown): value is Message;
/**
 * by conversation
 */
export type Seqs = Record<string, number>;
export type Limits = {
    body_bytes: number;
    metadata_bytes: number;
    frame_bytes: number;
    cursors: number;
} & Record<string, number>;
/**
 * A message, as docs/protocol.md has it. `seq` is its place in the conversation, from 1 and without gaps.
 */
export type Message = {
    conversation_id: string;
    seq: number;
    message_id: string;
    sender: string;
    body: string;
    client_message_id: string;
    /**
     * RFC 3339, UTC
     */
    sent_at: string;
    metadata?: Record<string, unknown> | null | undefined;
};
export type MessageFrame = Message & {
    type: "message";
};
export type Welcome = {
    type: "welcome";
    user_id: string;
    connection_id: string;
    instance_id: string;
    keepalive_ms: number;
    limits: Limits;
    /**
     * dependencies of the service that do not work
     */
    degraded?: string[] | undefined;
    generation?: string | undefined;
};
export type Truncated = {
    type: "truncated";
    conversation_id: string;
    from_seq: number;
    to_seq: number;
};
export type Reset = {
    type: "reset";
    conversation_id: string;
    last_seq: number;
};
export type Synced = {
    type: "synced";
    heads: Seqs;
    revisions: Seqs;
    read_seqs?: Seqs;
};
/**
 * A message is stored.
 */
export type Ack = {
    type: "ack";
    ref?: string | undefined;
    conversation_id: string;
    client_message_id: string;
    message_id: string;
    seq: number;
    sent_at: string;
    /**
     * it was stored before
     */
    duplicate: boolean;
};
export type Ok = {
    type: "ok";
    ref: string;
    conversation_id?: string;
    message_id?: string;
    seq?: number;
    read_at?: string;
};
export type ErrorFrame = {
    type: "error";
    code: string;
    detail: string;
    retryable: boolean;
    ref?: string | undefined;
    conversation_id?: string | undefined;
    client_message_id?: string | undefined;
    outcome?: "unknown" | "refused" | undefined;
    retry_after_ms?: number | undefined;
};
export type ConversationNotice = {
    type: "conversation";
    conversation_id: string;
    event: "created" | "updated" | "member_added" | "member_removed";
    by: string;
    revision: number;
    user_id?: string | undefined;
    conversation?: ({
        last_seq: number;
    } & Record<string, unknown>) | undefined;
};
export type Receipt = {
    type: "receipt";
    conversation_id: string;
    user_id: string;
    message_id: string;
    seq: number;
    read_at: string;
};
export type TypingNotice = {
    type: "typing";
    conversation_id: string;
    user_id: string;
    active: boolean;
    expires_in_ms: number;
};
export type Presence = {
    type: "presence";
    user_id: string;
    online: boolean;
    last_seen_at: string | null;
};
export type Degraded = {
    type: "degraded" | "restored";
    dependencies: string[];
};
export type Draining = {
    type: "draining";
    reconnect_after_ms: number;
    closes_in_ms: number;
};
export type Plain = {
    type: "token_expiring";
    expires_at: string;
} | {
    type: "pong";
};
/**
 * Frames that the application is told of.
 */
export type Told = Welcome | Synced | ConversationNotice | Receipt | TypingNotice | Presence | Degraded | Reset;
export type ServerFrame = MessageFrame | Truncated | Ack | Ok | ErrorFrame | Draining | Plain | Told;
