/** A token bucket, kept as the time at which it would be full. Pure: time comes in. */
export class Pace {
    /** When the next send may go out; it may lie in the past. */
    get nextAt(): number;
    /**
     * One went out under these limits; a rate of 0, or none, limits nothing.
     *
     * @param {number} now
     * @param {import("./frames.js").Limits} limits
     */
    sent(now: number, { sends_per_second, frames_per_second }: import("./frames.js").Limits): void;
    /** Nothing goes out until then, and no burst after it: the service's bucket is empty as well. @param {number} until */
    pause(until: number): void;
    #private;
}
