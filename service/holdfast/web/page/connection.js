/* One socket to whichever instance answers, and another one when it ends.

   The page keeps its cursors (state.js), so any instance can go on where the last one stopped; nothing here is tied to an
   instance. What is not acknowledged is the outbox's business (outbox.js). Close codes are read as the protocol says:
   When the browser says that this device has no network, the connection is given up at once, and tried again: the server may be
   on this very device. 1000 stop; 1002, 1003, 1007, 1009 reconnect at the longest back-off; 1008 and 4500-4999 stop and tell; others reconnect. */

const FIRST_CAP_MS = 1_000;
const SHORTEST_MS = 500;
const LONGEST_MS = 30_000;
const PONG_WITHIN_MS = 10_000;
const LONG_ENOUGH_MS = 5_000; // a connection that lived this long was a good one: back-off starts anew
const OPEN_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 1_000;
const SLOW_CODES = new Set([1002, 1003, 1007, 1009]);
const EXPIRED = 4002;
const TOO_EARLY = 4006;
const REFUSED_TOKENS = new Set([EXPIRED, TOO_EARLY, 4501]); // with another token it goes on, where there is one

function mustStop(code) {
  return code === 1008 || (code >= 4500 && code <= 4999);
}

function jittered(attempt) {
  const cap = Math.min(LONGEST_MS, FIRST_CAP_MS * 2 ** attempt);
  return SHORTEST_MS + Math.random() * (cap - SHORTEST_MS);
}

export class Connection {
  #socket = null;
  #attempt = 0;
  #retryTimer = 0;
  #moveTimer = 0;
  #lookTimer = 0;
  #heardAt = 0;
  #startedAt = 0;
  #pingedAt = 0;
  #keepaliveMs = 25_000; // until `welcome` says
  #generation; // of the store that the cursors are of: that of the last connection that was synced
  #welcomedTo;
  #isWelcomed = false;
  #isSynced = false;
  #isMoving = false;
  #lastError = null;
  #isRunning = false;

  /* cursors(): those to resume from, or null for a first connection. onState({phase, …}) with phase connecting, open, waiting
     (retryAt), offline (this device has no network), moving or stopped (reason). */
  constructor({ credentials, cursors, onFrame, onState }) {
    Object.assign(this, { credentials, cursors, onFrame, onState });
  }

  start() {
    this.#isRunning = true;
    this.#connect();
    addEventListener("online", this.#hurry);
    addEventListener("offline", this.#wentOffline);
    document.addEventListener("visibilitychange", this.#hurry);
    this.#lookTimer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  stop(reason = "") {
    this.#isRunning = false;
    removeEventListener("online", this.#hurry);
    removeEventListener("offline", this.#wentOffline);
    document.removeEventListener("visibilitychange", this.#hurry);
    clearInterval(this.#lookTimer);
    clearTimeout(this.#retryTimer);
    this.#leave(1000);
    this.onState({ phase: "stopped", reason });
  }

  get isOpen() {
    return this.#isWelcomed && this.#socket?.readyState === WebSocket.OPEN;
  }

  send(frame) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  async #connect() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    this.#startedAt = this.#heardAt = Date.now();
    this.#pingedAt = 0;
    this.#isWelcomed = this.#isSynced = false;
    this.#lastError = null;
    const attempt = (this.#socket = {}); // stands for the socket while the token is fetched
    if (!this.#isMoving) this.onState({ phase: navigator.onLine ? "connecting" : "offline", attempt: this.#attempt });
    let token;
    try {
      token = await this.credentials.token();
    } catch (problem) {
      if (this.#socket !== attempt || !this.#isRunning) return;
      if (!problem.retryable) return this.stop(problem.message);
      return this.#ended(1006);
    }
    if (this.#socket !== attempt || !this.#isRunning) return;
    this.#open(token);
  }

  #open(token) {
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
    const socket = new WebSocket(url, ["holdfast.v1", `bearer.${token}`]);
    const isCurrent = () => this.#socket === socket;
    this.#socket = socket;
    socket.onopen = () => isCurrent() && socket.send(JSON.stringify(this.#hello()));
    socket.onmessage = (event) => isCurrent() && this.#heard(event.data);
    socket.onclose = (event) => isCurrent() && this.#ended(event.code);
  }

  #hello() {
    const cursors = this.cursors();
    const generation = this.#generation;
    return { type: "hello", client: "holdfast page", ...(cursors && { cursors, ...(generation && { generation }) }) };
  }

  #heard(text) {
    this.#heardAt = Date.now();
    this.#pingedAt = 0;
    const frame = JSON.parse(text);
    if (frame.type === "welcome") this.#welcomed(frame);
    else if (frame.type === "synced") this.#synced();
    else if (frame.type === "draining") this.#moveAfter(frame.reconnect_after_ms);
    else if (frame.type === "token_expiring") this.#refresh();
    else if (frame.type === "error" && !frame.ref) this.#lastError = frame;
    this.onFrame(frame);
  }

  #welcomed(frame) {
    this.#isWelcomed = true;
    this.#isMoving = false;
    this.#welcomedTo = frame.generation;
    this.#keepaliveMs = frame.keepalive_ms;
    this.onState({ phase: "open", instance: frame.instance_id });
  }

  #synced() {
    this.#isSynced = true;
    this.#generation = this.#welcomedTo ?? this.#generation;
  }

  async #refresh() {
    const socket = this.#socket;
    const token = await this.credentials.token({ fresh: true }).catch(() => null);
    // Without a new token the server closes with 4002, and the reconnection asks for one again.
    if (token && this.#socket === socket) this.send({ type: "refresh", ref: "refresh", token });
  }

  /* The instance is about to stop: leave it at the time it asks for, so that not all clients move at once. */
  #moveAfter(milliseconds) {
    this.#isMoving = true;
    this.onState({ phase: "moving" });
    clearTimeout(this.#moveTimer);
    this.#moveTimer = setTimeout(() => {
      this.#leave(1000);
      this.#connect();
    }, milliseconds);
  }

  #ended(code) {
    const wasGood = this.#isSynced || (this.#isWelcomed && Date.now() - this.#startedAt > LONG_ENOUGH_MS);
    this.#leave();
    if (REFUSED_TOKENS.has(code)) this.credentials.forget();
    if (mustStop(code)) return this.stop(this.#lastError?.detail || `closed with code ${code}`);
    if (!this.#isRunning) return undefined;
    this.#attempt = wasGood ? 0 : this.#attempt + 1;
    const delay = SLOW_CODES.has(code) ? LONGEST_MS : jittered(this.#attempt);
    if (code === TOO_EARLY) return this.#retryIn(Math.max(delay, this.#lastError?.retry_after_ms ?? 0));
    return this.#retryIn(this.#isMoving && wasGood ? Math.random() * SHORTEST_MS : delay);
  }

  #retryIn(milliseconds) {
    this.#retryTimer = setTimeout(() => this.#connect(), milliseconds);
    const phase = navigator.onLine ? "waiting" : "offline";
    this.onState({ phase: this.#isMoving ? "moving" : phase, attempt: this.#attempt, retryAt: Date.now() + milliseconds });
    this.#isMoving = false;
  }

  /* Back from the background, or online again: waiting any longer helps nobody. */
  #hurry = () => {
    if (this.#retryTimer && document.visibilityState === "visible") this.#connect();
  };

  /* Without a network a socket ends without a word: waiting for a missing pong would take most of a minute. */
  #wentOffline = () => {
    if (!this.#isRunning) return;
    clearTimeout(this.#retryTimer);
    this.#leave();
    this.#isMoving = false;
    this.#attempt = 0;
    this.#retryIn(jittered(1));
  };

  #look() {
    const silence = Date.now() - this.#heardAt;
    if (this.#retryTimer || !this.#socket) return;
    if (!this.#isWelcomed) {
      if (silence > OPEN_WITHIN_MS) this.#ended(1006);
    } else if (this.#pingedAt && Date.now() - this.#pingedAt > PONG_WITHIN_MS) {
      this.#ended(1006); // no closing handshake: there may be nobody to shake hands with
    } else if (!this.#pingedAt && silence > this.#keepaliveMs && this.send({ type: "ping" })) {
      this.#pingedAt = Date.now();
    }
  }

  #leave(code = undefined) {
    const socket = this.#socket;
    this.#socket = null;
    this.#isWelcomed = false;
    clearTimeout(this.#moveTimer);
    if (socket instanceof WebSocket) socket.close(code);
  }
}
