/**
 * For one client. Of each of the 100 conversations that moved last the newest 200 messages are kept. Where IndexedDB does not work the
 * client goes on without it and tells `unsaved`, once until it works again. Throws TypeError for an address or a user's id that no
 * instance would accept.
 *
 * @param {{ userId: string, address: string }} options the signed-in user, and an address of the service: always the same one
 */
export function indexedDbStore({ userId, address }: {
    userId: string;
    address: string;
}): IndexedDbStore;
/** @implements {Store} */
export class IndexedDbStore implements Store {
    /**
     * @internal
     * @param {string} userId
     * @param {string} name
     */
    constructor(userId: string, name: string);
    /** Whose it is. */
    userId: string;
    /** Damaged entries that were left out so far. */
    get dropped(): number;
    /** Whether this tab writes positions and messages: one of the user's tabs does. */
    get isLeader(): boolean;
    /** Where IndexedDB does not work there is nothing kept: the next `save` says why. @returns {Promise<Position | null>} */
    load(): Promise<Position | null>;
    /**
     * @param {Position} position
     * @param {Message[]} messages
     */
    save(position: Position, messages: Message[]): Promise<void>;
    /** @param {Map<string, KeptSend | null>} sends */
    saveSends(sends: Map<string, KeptSend | null>): Promise<void>;
    /** Only the leader is given them. It writes what it held back while another one was the leader. @param {AbortSignal} signal */
    leftSends(signal: AbortSignal): Promise<never[] | import("./store.js").KeptSend[]>;
    /**
     * What an earlier page had of a conversation: to be shown before those of `client.messages()`, which are all later.
     *
     * @param {string} conversationId
     * @returns {Promise<Message[]>} ascending
     */
    messages(conversationId: string): Promise<Message[]>;
    /** Let another tab write. */
    close(): Promise<void>;
    /** Remove everything that is kept of this user, when the user has signed out. Close the client before. */
    clear(): Promise<void>;
    #private;
}
export type Message = import("./frames.js").Message;
export type KeptSend = import("./store.js").KeptSend;
export type Position = import("./store.js").Position;
export type Store = import("./store.js").Store;
