/** @typedef {{ draft: Draft, answer: Answer, giveUpAt: number, tries: number, error: SendFailed | null }} Pending */
/** @typedef {{ queue: [Pending, ...Pending[]], connection: object | null, sentAt: number, notBefore: number }} Lane */
/** All sends of one client that are not stored yet. */
export class Outbox {
    /** Rises with each change. */
    version: number;
    /** Those that wait, then those that failed. @returns {Pending[]} */
    get all(): Pending[];
    /** What is to be kept since the last call; null: not any more. */
    takeChanges(): Map<string, import("./store.js").KeptSend | null>;
    /**
     * Queue one, unless it waits already. Throws `overloaded` when too many wait.
     *
     * @param {Draft} draft
     * @param {Answer} answer
     * @param {number} now when it was added: it is given up a day later
     * @param {SendFailed | null} [error] it has failed already
     */
    add(draft: Draft, answer: Answer, now: number, error?: SendFailed | null): void;
    /**
     * The frames to write to `connection` now; conversations take turns. A send over its limits fails instead, and the next one is tried.
     * One that was written so long ago that the store may have forgotten its key fails, too: it would be stored twice.
     *
     * @param {object} connection
     * @param {number} now
     * @param {Limits} limits
     * @param {number} wall the time of the clock on the wall
     * @returns {Draft[]}
     */
    due(connection: object, now: number, limits: Limits, wall: number): Draft[];
    /** Give up sends that are too old; one without an answer for a minute is due again. @param {number} now */
    expire(now: number): void;
    /** When something becomes due by itself, as of the last `due`. @param {number} now */
    nextAt(now: number): number;
    /** Whether something has no answer yet that was written to this connection. @param {object} connection */
    hasInFlight(connection: object): boolean;
    /** An answer; the next one of its conversation is due then. @param {Ack} ack */
    acknowledged(ack: Ack): void;
    /**
     * A refusal: for good, or to be tried again after a pause. Unknown ones are ignored.
     *
     * @param {ErrorFrame} error
     * @param {number} now
     */
    failed(error: ErrorFrame, now: number): void;
    /** The connection ended: what was in flight on it is due again. @param {object} connection */
    lost(connection: object): void;
    /**
     * The connection ended because of what was written to it: what was in flight is not written again.
     *
     * @param {object} connection
     * @param {string} code
     * @param {string} detail
     */
    blamed(connection: object, code: string, detail: string): void;
    /**
     * End all waiting calls with an error: no answer will come, and why. What is kept of them stays so, for the next client.
     *
     * @param {string} code
     * @param {string} detail
     */
    close(code: string, detail: string): void;
    /** One that failed, to be added again; undefined where there is none with this ref. @param {string} ref */
    failedDraft(ref: string): import("./checks.js").Draft | undefined;
    /** Not to be sent, or not again. @param {string} ref */
    discard(ref: string): void;
    #private;
}
export function isForgotten({ triedAt }: Draft, wall: number): boolean;
export function forgotten(): SendFailed;
export type Draft = import("./checks.js").Draft;
export type Ack = import("./frames.js").Ack;
export type ErrorFrame = import("./frames.js").ErrorFrame;
export type Limits = import("./frames.js").Limits;
export type Answer = import("./waiting.js").Deferred<Ack>;
export type Pending = {
    draft: Draft;
    answer: Answer;
    giveUpAt: number;
    tries: number;
    error: SendFailed | null;
};
export type Lane = {
    queue: [Pending, ...Pending[]];
    connection: object | null;
    sentAt: number;
    notBefore: number;
};
import { SendFailed } from "./errors.js";
