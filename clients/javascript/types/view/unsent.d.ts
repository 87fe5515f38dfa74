export class UnsentViews {
    /** @param {{ readonly entries: Unsent[], discard(id: string): void }} outbox of the client */
    constructor(outbox: {
        readonly entries: Unsent[];
        discard(id: string): void;
    });
    outbox: {
        readonly entries: Unsent[];
        discard(id: string): void;
    };
    /** The outbox has changed. */
    invalidate(): void;
    /** Of one conversation, or of all. @param {string} [conversationId] */
    list(conversationId?: string): readonly Readonly<import("../client.js").Unsent & {
        queuedAt: Date;
    }>[];
    /**
     * A message of the user's own has come: its send is stored, be it answered or not.
     *
     * @param {string} conversationId
     * @param {string} clientMessageId
     */
    arrived(conversationId: string, clientMessageId: string): void;
    #private;
}
export type Unsent = import("../client.js").Unsent;
/**
 * `queuedAt`: when the view saw it first.
 */
export type UnsentView = Readonly<Unsent & {
    queuedAt: Date;
}>;
