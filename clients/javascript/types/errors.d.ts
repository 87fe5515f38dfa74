/** What the client throws to its application. No error holds a token, or text of a server that is not the service. */
/** A command will not succeed, or was pursued for as long as it may be. */
export class SendFailed extends Error {
    /**
     * @param {string} code of docs/protocol.md, or a newer one; `closed`, `discarded`, `expired` and `unreachable` are the client's own
     * @param {string} detail one sentence for a log
     * @param {{ outcome?: "refused" | "unknown", retryable?: boolean }} [more]
     */
    constructor(code: string, detail: string, { outcome, retryable }?: {
        outcome?: "refused" | "unknown";
        retryable?: boolean;
    });
    code: string;
    detail: string;
    /** `refused`: it is not stored and will not be; `unknown`: it may be. */
    outcome: "unknown" | "refused";
    /** The same command under the same id, unchanged, may succeed later. */
    retryable: boolean;
}
/** The client has ended: it was closed, or the service told it not to come back. */
export class ClientStopped extends Error {
    /**
     * @param {string} code `closed`, or an error code such as `token_revoked`
     * @param {string} detail one sentence for a log
     */
    constructor(code: string, detail: string);
    code: string;
    detail: string;
}
/** Thrown by a token function: no token will come until the user signs in. It ends the client. */
export class Unauthorized extends ClientStopped {
    /**
     * @param {string} [detail]
     * @param {string} [code]
     */
    constructor(detail?: string, code?: string);
}
/** A call of REST was refused, or had no answer of the service. */
export class RestFailed extends Error {
    /**
     * @param {number} status of HTTP; 0 where there was no answer
     * @param {string} code of docs/protocol.md, or `unreachable`
     * @param {string} detail
     * @param {boolean} retryable the same call may succeed later
     */
    constructor(status: number, code: string, detail: string, retryable: boolean);
    status: number;
    code: string;
    detail: string;
    retryable: boolean;
}
