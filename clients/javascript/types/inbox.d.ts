/** Tell changes here; ask `streams` for what is wanted. */
export class Inbox {
    streams: Streams;
    /**
     * Before anything else: where the application is.
     *
     * @param {Map<string, number> | null} cursors
     * @param {string} generation
     */
    begin(cursors: Map<string, number> | null, generation: string): void;
    get size(): number;
    /** Conversation -> seq of the last message that the application has done with. */
    get cursors(): {
        [k: string]: number;
    };
    /** The last message of the conversation that was taken, here or by the client that kept the cursors; 0: none. @param {string} id */
    readSeq(id: string): number;
    /** Whether so many more fit. @param {number} [messages] */
    hasRoom(messages?: number): boolean;
    /** Whether it can be taken now; if not it is known, or will be fetched. @param {Message} frame */
    offer(frame: Message): boolean;
    /** The next one; undefined where there is none. */
    take(): import("./frames.js").Message | undefined;
    /** It is the next one again: the application was not done with it. @param {Message} message */
    putBack(message: Message): void;
    /** The application has done with a message that it took. @param {Message} message */
    done(message: Message): void;
    /** The messages that the application has done with since the last call, the last 1,000 of them. */
    takeDone(): import("./frames.js").Message[];
    /**
     * The store was restored and ends at `lastSeq`: what lay behind it will be something else.
     *
     * Where the store has grown past the cursor since, nothing tells which of the earlier messages are still the same.
     *
     * @param {string} id
     * @param {number} lastSeq
     */
    reset(id: string, lastSeq: number): void;
    /** Conversations begin where their streams begin, and end with them: to be called after each change of the streams. */
    follow(): void;
    #private;
}
export type Message = import("./frames.js").Message;
import { Streams } from "./streams.js";
