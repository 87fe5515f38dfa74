export class Commands {
    /**
     * @param {Connection | null} connection
     * @param {string} conversationId
     * @param {string} messageId
     * @returns {Promise<Ok>}
     */
    read(connection: Connection | null, conversationId: string, messageId: string): Promise<Ok>;
    /**
     * @param {Connection | null} connection
     * @param {string} conversationId
     * @param {boolean} active
     */
    typing(connection: Connection | null, conversationId: string, active: boolean): void;
    /** @param {Ok} frame */
    answered(frame: Ok): void;
    /** Whether the error is about one of ours, which has failed then. @param {import("./frames.js").ErrorFrame} frame */
    failed({ ref, code, detail, outcome, retryable }: import("./frames.js").ErrorFrame): boolean;
    /** The connection ended: what was asked there gets no answer. @param {Connection} connection */
    lost(connection: Connection): void;
    #private;
}
export type Connection = import("./connection.js").Connection;
export type Ok = import("./frames.js").Ok;
