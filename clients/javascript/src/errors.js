/** What the client throws to its application. No error holds a token, or text of a server that is not the service. */

/** A command will not succeed, or was pursued for as long as it may be. */
export class SendFailed extends Error {
  /**
   * @param {string} code of docs/protocol.md, or a newer one; `closed`, `discarded`, `expired` and `unreachable` are the client's own
   * @param {string} detail one sentence for a log
   * @param {{ outcome?: "refused" | "unknown", retryable?: boolean }} [more]
   */
  constructor(code, detail, { outcome = "refused", retryable = true } = {}) {
    super(`${code}: ${detail}`);
    this.name = "SendFailed";
    this.code = code;
    this.detail = detail;
    /** `refused`: it is not stored and will not be; `unknown`: it may be. */
    this.outcome = outcome;
    /** The same command under the same id, unchanged, may succeed later. */
    this.retryable = retryable;
  }
}

/** The client has ended: it was closed, or the service told it not to come back. */
export class ClientStopped extends Error {
  /**
   * @param {string} code `closed`, or an error code such as `token_revoked`
   * @param {string} detail one sentence for a log
   */
  constructor(code, detail) {
    super(`${code}: ${detail}`);
    this.name = "ClientStopped";
    this.code = code;
    this.detail = detail;
  }
}

/** Thrown by a token function: no token will come until the user signs in. It ends the client. */
export class Unauthorized extends ClientStopped {
  /**
   * @param {string} [detail]
   * @param {string} [code]
   */
  constructor(detail = "the user has to sign in", code = "unauthenticated") {
    super(code, detail);
    this.name = "Unauthorized";
  }
}

/** A call of REST was refused, or had no answer of the service. */
export class RestFailed extends Error {
  /**
   * @param {number} status of HTTP; 0 where there was no answer
   * @param {string} code of docs/protocol.md, or `unreachable`
   * @param {string} detail
   * @param {boolean} retryable the same call may succeed later
   */
  constructor(status, code, detail, retryable) {
    super(`${code}: ${detail}`);
    this.name = "RestFailed";
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.retryable = retryable;
  }
}
