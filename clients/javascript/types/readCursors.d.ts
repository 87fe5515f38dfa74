export class ReadCursors {
    /** Whether it is news. @param {Receipt} receipt */
    moved({ conversation_id: conversation, user_id, seq }: Receipt): boolean;
    /** It was reset: whatever was read of it is something else. @param {string} conversation */
    forget(conversation: string): void;
    #private;
}
export type Receipt = import("./frames.js").Receipt;
