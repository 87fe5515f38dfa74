export class Presences {
    /** @param {string} userId */
    of(userId: string): PresenceView | undefined;
    /**
     * @param {string} userId
     * @param {boolean} online
     * @param {string | null} lastSeenAt
     */
    learn(userId: string, online: boolean, lastSeenAt: string | null): void;
    #private;
}
export type PresenceView = {
    readonly online: boolean;
    readonly lastSeenAt: string | null;
};
