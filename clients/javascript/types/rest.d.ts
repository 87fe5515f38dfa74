/**
 * Up to 200 messages after `seq`; null when the conversation is not ours any more, and it is the service that says so.
 *
 * @param {Rest} rest
 * @param {string} id
 * @param {number} seq
 * @param {number} limit
 * @returns {Promise<{ messages: Message[], last_seq: number } | null>}
 */
export function pageAfter(rest: Rest, id: string, seq: number, limit: number): Promise<{
    messages: Message[];
    last_seq: number;
} | null>;
/**
 * `baseUrl` and `userId`: where the last connection was accepted, and whose it is; `bases`: all addresses.
 *
 * @typedef {{ readonly baseUrl: string, readonly bases: readonly string[], readonly userId: string }} Place
 */
/**
 * Calls fail with RestFailed. One is repeated by itself once with a new token where the first was refused, and at the other addresses
 * where one has no answer of the service, if the repetition is harmless.
 */
export class Rest {
    /**
     * @internal
     * @param {Place} place
     * @param {import("./tokens.js").Tokens} tokens
     * @param {AbortSignal} signal
     */
    constructor(place: Place, tokens: import("./tokens.js").Tokens, signal: AbortSignal);
    /**
     * A conversation with these users and the caller. With an id of yours the call can be repeated; else it has a random one.
     *
     * @param {string[]} members
     * @param {{ title?: string, metadata?: Record<string, unknown>, conversationId?: string }} [more]
     * @returns {Promise<Conversation>}
     */
    create(members: string[], { title, metadata, conversationId }?: {
        title?: string;
        metadata?: Record<string, unknown>;
        conversationId?: string;
    }): Promise<Conversation>;
    /** The conversation of the caller and that user alone. @param {string} userId @returns {Promise<Conversation>} */
    direct(userId: string): Promise<Conversation>;
    /**
     * The caller's conversations, latest activity first.
     *
     * @param {{ limit?: number, cursor?: string }} [page]
     * @returns {Promise<{ conversations: Conversation[], next_cursor: string | null }>}
     */
    conversations({ limit, cursor }?: {
        limit?: number;
        cursor?: string;
    }): Promise<{
        conversations: Conversation[];
        next_cursor: string | null;
    }>;
    /** With its members. @param {string} id @returns {Promise<Conversation>} */
    conversation(id: string): Promise<Conversation>;
    /**
     * Messages in ascending order: with `afterSeq` the first ones after it, otherwise the last ones.
     *
     * @param {string} id
     * @param {{ afterSeq?: number, beforeSeq?: number, limit?: number }} [range]
     * @returns {Promise<History>}
     */
    history(id: string, { afterSeq, beforeSeq, limit }?: {
        afterSeq?: number;
        beforeSeq?: number;
        limit?: number;
    }): Promise<History>;
    /** @param {string} id @param {string} userId @returns {Promise<Conversation>} */
    addMember(id: string, userId: string): Promise<Conversation>;
    /** @param {string} id @param {string} userId @returns {Promise<null>} */
    removeMember(id: string, userId: string): Promise<null>;
    /**
     * Any call under `/api`. Throws RestFailed, or ClientStopped where the client has ended.
     *
     * @param {string} method
     * @param {string} path
     * @param {object} [body]
     * @returns {Promise<any>}
     */
    call(method: string, path: string, body?: object): Promise<any>;
    #private;
}
export type Message = import("./frames.js").Message;
export type Conversation = Record<string, any> & {
    conversation_id: string;
    last_seq: number;
};
export type History = {
    messages: (Message & {
        read_by: string[];
    })[];
    has_more: boolean;
    last_seq: number;
};
/**
 * `baseUrl` and `userId`: where the last connection was accepted, and whose it is; `bases`: all addresses.
 */
export type Place = {
    readonly baseUrl: string;
    readonly bases: readonly string[];
    readonly userId: string;
};
