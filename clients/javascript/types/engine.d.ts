/** @implements {Owner} */
export class Engine implements Owner {
    /** @param {{ urls: string[], token: import("./tokens.js").Token, name: string, store: import("./store.js").Store }} options */
    constructor({ urls, token, name, store }: {
        urls: string[];
        token: import("./tokens.js").Token;
        name: string;
        store: import("./store.js").Store;
    });
    inbox: Inbox;
    outbox: Outbox;
    events: Events;
    commands: Commands;
    /** Rung when there may be a message to take, or never will be. */
    news: Bell;
    /** @type {State} */
    state: State;
    /** @type {ClientStopped | null} */
    stopped: ClientStopped | null;
    name: string;
    link: Link;
    rest: Rest;
    holes: Holes;
    position: Position;
    /** Until the end. @param {boolean} isLoading the store says where to go on */
    run(isLoading: boolean): Promise<void>;
    /** Resolved when what was missed is replayed. */
    get replayed(): Promise<void>;
    /**
     * Queue a send. Whether the answer is listened to is for the application to decide: a failure is in the outbox too.
     *
     * @param {Draft} draft
     * @returns {Promise<Ack>}
     */
    add(draft: Draft): Promise<Ack>;
    /** Write what is due, and come back when more is. */
    flush(): void;
    /** Nothing comes any more; the first reason counts. @param {ClientStopped} why */
    stop(why: ClientStopped): void;
    /** @param {Connection} connection */
    hello(connection: Connection): import("./greeting.js").Greeting;
    /** @param {Connection} connection */
    hasInFlight(connection: Connection): boolean;
    opening(): void;
    /** @param {Connection} connection */
    opened({ welcome }: Connection): void;
    /**
     * @param {string} code
     * @param {string} detail
     */
    refused(code: string, detail: string): void;
    /** @param {number} ms */
    waiting(ms: number): void;
    /** @param {Connection} connection */
    tookOver(connection: Connection): void;
    /**
     * @param {ServerFrame} frame
     * @param {Connection} connection
     */
    received(frame: ServerFrame, connection: Connection): void;
    /** @param {Connection} connection */
    closed(connection: Connection): void;
    /** By REST. @param {MessageFrame | Reset} frame */
    found(frame: MessageFrame | Reset): void;
    #private;
}
export type Draft = import("./checks.js").Draft;
export type Connection = import("./connection.js").Connection;
export type State = import("./events.js").State;
export type Ack = import("./frames.js").Ack;
export type ErrorFrame = import("./frames.js").ErrorFrame;
export type Message = import("./frames.js").Message;
export type MessageFrame = import("./frames.js").MessageFrame;
export type Reset = import("./frames.js").Reset;
export type ServerFrame = import("./frames.js").ServerFrame;
export type Synced = import("./frames.js").Synced;
export type Owner = import("./link.js").Owner;
import { Inbox } from "./inbox.js";
import { Outbox } from "./outbox.js";
import { Events } from "./events.js";
import { Commands } from "./commands.js";
import { Bell } from "./waiting.js";
import { ClientStopped } from "./errors.js";
import { Link } from "./link.js";
import { Rest } from "./rest.js";
import { Holes } from "./holes.js";
import { Position } from "./position.js";
