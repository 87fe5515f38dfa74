export const MOST_MESSAGES: 200;
export const MOST_CONVERSATIONS: 100;
/** One client's, in the order in which the client gave it. */
export class Unwritten {
    /** @type {Position | null} the last one */
    position: Position | null;
    /** @type {Map<string, Progress>} since the last writing */
    progress: Map<string, Progress>;
    /** @type {Map<string, KeptSend | null>} since the last writing; null: not to be kept any more */
    sends: Map<string, KeptSend | null>;
    /** Whether there is a position to write. */
    hasMoved: boolean;
    /** Where the client begins. @param {Position} position */
    begin(position: Position): void;
    /**
     * @param {Position} position
     * @param {Message[]} messages that the application has done with since the last position
     */
    moved(position: Position, messages: Message[]): void;
    /** @param {Map<string, KeptSend | null>} sends */
    changed(sends: Map<string, KeptSend | null>): void;
    /** A writing failed: it goes before what came since. @param {Unwritten} earlier */
    putBack(earlier: Unwritten): void;
    /**
     * What is to be written now; it is not here any more.
     *
     * @param {boolean} isLeader whether positions are to be written, and not sends alone
     */
    take(isLeader: boolean): Unwritten;
    get isEmpty(): boolean;
    #private;
}
export type Message = import("./frames.js").Message;
export type KeptSend = import("./store.js").KeptSend;
export type Position = import("./store.js").Position;
/**
 * Of one conversation. `cursor`: null where it is not the user's any more. `isReset`: whatever was kept of it before is not valid.
 * `messages`: the newest, without a gap; the last one is the cursor's, or there are none.
 */
export type Progress = {
    cursor: number | null;
    isReset: boolean;
    messages: Message[];
};
