/**
 * The answer of a call that can be repeated without harm. Throws RestFailed: it is refused for good, or was too often; or why the
 * signal has ended it.
 *
 * @template T
 * @param {AbortSignal} signal
 * @param {() => Promise<T>} call
 * @param {number} [attempts]
 */
export function persist<T>(signal: AbortSignal, call: () => Promise<T>, attempts?: number): Promise<T>;
/** Of one connection. */
export class Refresh {
    /**
     * @param {Rest} rest
     * @param {Owner} owner
     */
    constructor(rest: Rest, owner: Owner);
    rest: import("../rest.js").Rest;
    owner: Owner;
    stop(): void;
    /** Ask for the list, then for what it leaves open. Returns whether the list has come. @param {number} [pageSize] */
    run(pageSize?: number): Promise<boolean>;
    /** Too little is known of this conversation. @param {string} id @param {boolean} [withMembers] */
    want(id: string, withMembers?: boolean): void;
    /** A conversation with its members, their read cursors and presence. @param {string} id @param {AbortSignal} [signal] */
    whole(id: string, signal?: AbortSignal): Promise<void>;
    #private;
}
export type Rest = import("../rest.js").Rest;
export type Conversation = import("./conversation.js").Conversation;
export type Conversations = import("./conversations.js").Conversations;
export type Presences = import("./presence.js").Presences;
/**
 * holds what was found
 */
export type Owner = {
    conversations: Conversations;
    presences: Presences;
    /**
     * of the client: the conversations that are the user's
     */
    cursors: () => Record<string, number>;
    changed: () => void;
};
