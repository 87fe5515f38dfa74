/* REST and tokens: what the page asks for by HTTP. Every failure is a Refused that says whether trying again makes sense. */

const REFRESH_BEFORE_MS = 60_000; // as the server warns that long before (token_expiring)
const TIMEOUT_MS = 10_000;
const ATTEMPTS = 6;

export class Refused extends Error {
  constructor(detail, { code = "unreachable", retryable = true, status = 0, retryAfterMs = 0 } = {}) {
    super(detail);
    Object.assign(this, { code, retryable, status, retryAfterMs });
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Refused("The server cannot be reached.");
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return { status: response.status, body };
  throw new Refused(body.detail || `The server answered ${response.status}.`, {
    code: body.code,
    retryable: body.retryable ?? response.status >= 500,
    status: response.status,
    retryAfterMs: body.retry_after_ms ?? 0,
  });
}

/* One user's token: asked for when needed, kept in memory only. */
export class Credentials {
  #token = null;
  #expiresAt = 0;
  #asking = null;

  constructor(userId) {
    this.userId = userId;
  }

  async token({ fresh = false } = {}) {
    if (!fresh && this.#token && Date.now() < this.#expiresAt - REFRESH_BEFORE_MS) return this.#token;
    this.#asking ??= this.#ask().finally(() => (this.#asking = null));
    return this.#asking;
  }

  forget() {
    this.#token = null;
  }

  async #ask() {
    const { body } = await ask("/demo/token", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ user_id: this.userId }),
    });
    this.#token = body.token;
    this.#expiresAt = Date.parse(body.expires_at);
    return this.#token;
  }
}

export class Api {
  constructor(credentials) {
    this.credentials = credentials;
  }

  /* One page of the list; `cursor` as the page before it says. */
  conversations({ cursor = null, limit = 200 } = {}) {
    const after = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    return this.#persist("GET", `/conversations?limit=${limit}${after}`);
  }

  conversation(id) {
    return this.#persist("GET", `/conversations/${encodeURIComponent(id)}`);
  }

  messages(id, { beforeSeq = null, limit = 50 } = {}) {
    const before = beforeSeq === null ? "" : `&before_seq=${beforeSeq}`;
    return this.#persist("GET", `/conversations/${encodeURIComponent(id)}/messages?limit=${limit}${before}`);
  }

  presence(userId) {
    return this.#once("GET", `/users/${encodeURIComponent(userId)}/presence`);
  }

  create(body) {
    return this.#persist("POST", "/conversations", body);
  }

  openDirect(userId) {
    return this.#persist("PUT", `/conversations/direct/${encodeURIComponent(userId)}`);
  }

  /* Again while it makes sense: an instance may die under any request. All that are repeated here are idempotent. */
  async #persist(method, path, body) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(method, path, body);
      } catch (problem) {
        if (!problem.retryable || attempt >= ATTEMPTS) throw problem;
        await new Promise((wake) => setTimeout(wake, Math.max(problem.retryAfterMs, Math.random() * 500 * 2 ** attempt)));
      }
    }
  }

  async #once(method, path, body) {
    const headers = { Authorization: `Bearer ${await this.credentials.token()}` };
    if (body) headers["Content-Type"] = "application/json";
    try {
      return (await ask(`/api${path}`, { method, headers, body: body && JSON.stringify(body) })).body;
    } catch (problem) {
      if (problem.status === 401) this.credentials.forget();
      throw problem;
    }
  }
}
