/**
 * What comes of it, for so long at most. Throws a TimeoutError.
 *
 * @template T
 * @param {T | Promise<T>} work
 * @param {number} ms
 * @returns {Promise<T>}
 */
export function within<T>(work: T | Promise<T>, ms: number): Promise<T>;
/**
 * The promise of a call, rejected where it throws. A promise that is listened to already stays so, unlike that of an async function.
 *
 * @template T
 * @param {() => Promise<T>} call
 * @returns {Promise<T>}
 */
export function promised<T>(call: () => Promise<T>): Promise<T>;
/**
 * @template T
 * @typedef {{ promise: Promise<T>, isSettled: boolean, resolve: (value: T) => void, reject: (error: unknown) => void }} Deferred
 */
/**
 * @template [T=void]
 * @returns {Deferred<T>}
 */
export function deferred<T = void>(): Deferred<T>;
export function now(): number;
/** Several may wait; one call of `ring` lets all of them go on. A ring before the wait counts. */
export class Bell {
    ring(): void;
    /** Forget a ring that came before. */
    mute(): void;
    /**
     * Until it is rung, for so long at most. Throws the signal's reason when the client ends.
     *
     * @param {AbortSignal} signal
     * @param {number} [ms]
     */
    heard(signal: AbortSignal, ms?: number): Promise<void>;
    #private;
}
export function sleep(signal: AbortSignal, ms: number): Promise<void>;
export function randomId(): string;
export type Deferred<T> = {
    promise: Promise<T>;
    isSettled: boolean;
    resolve: (value: T) => void;
    reject: (error: unknown) => void;
};
