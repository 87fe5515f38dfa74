/** One tab, until `end`. */
export class Tabs {
    /** @param {string} name of the store */
    constructor(name: string);
    id: string;
    isLeader: boolean;
    /** Resolved when the others can see this tab. */
    present: Promise<void>;
    name: string;
    /** Hold the locks, but while the page is in the browser's back and forward cache. */
    begin(): void;
    /** Hold nothing any more. */
    end(): void;
    /** Wait until this tab is the leader. Throws the signal's reason. @param {AbortSignal} signal */
    leading(signal: AbortSignal): Promise<void>;
    /** Of these tabs, those that have ended. Without locks: all others, the first time. @param {string[]} tabs */
    ended(tabs: string[]): Promise<string[]>;
    #private;
}
