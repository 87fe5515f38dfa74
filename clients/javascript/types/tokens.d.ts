/** There is no token now: the function is asked again later. `isInvalid`: what came is no token. */
export class TokenUnavailable extends Error {
    /**
     * @param {string} detail
     * @param {boolean} [isInvalid]
     */
    constructor(detail: string, isInvalid?: boolean);
    isInvalid: boolean;
}
export class Tokens {
    /**
     * @param {Token} source
     * @param {AbortSignal} signal
     */
    constructor(source: Token, signal: AbortSignal);
    source: Token;
    signal: AbortSignal;
    /** There will never be another one. */
    get isStatic(): boolean;
    /** A token from the function, if there is one. Throws TokenUnavailable, or the ClientStopped that the function threw. */
    fresh(): Promise<string>;
    /** The one that was used last, or a fresh one after `forget`. */
    latest(): Promise<string>;
    /** The latest one was refused. */
    forget(): void;
    #private;
}
/**
 * A token, or a function that returns one: asked before every connection and when a token is about to expire.
 */
export type Token = string | (() => string | Promise<string>);
