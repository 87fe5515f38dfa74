// server.mjs
import { createHmac, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const SECRET = process.env.CHAT_SECRET; // the same as HOLDFAST_AUTH__SECRET of the instances
const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

// A token for ten minutes. The client asks for the next one by itself.
function tokenFor(user) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: user, iss: "holdfast", aud: "holdfast", iat: now, exp: now + 600, jti: randomUUID() };
  const unsigned = `${encoded({ alg: "HS256", typ: "JWT" })}.${encoded(claims)}`;
  return `${unsigned}.${createHmac("sha256", SECRET).update(unsigned).digest("base64url")}`;
}

// The user's id. Replace this by your own session: anyone can write such a cookie.
const signedIn = (request) => /(?:^|; )user=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1];

const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8" };

async function file(pathname, response) {
  const path = pathname === "/" ? "/index.html" : pathname;
  const place = path.startsWith("/client/") ? path.replace("/client", "node_modules/@holdfast/client/src") : `static${path}`;
  const content = await readFile(place).catch(() => null);
  response.writeHead(content ? 200 : 404, { "Content-Type": TYPES[path.split(".").at(-1)] ?? "text/plain" });
  response.end(content ?? "Not found");
}

function answer(response, status, content, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store", ...headers });
  response.end(JSON.stringify(content));
}

createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const user = signedIn(request);
  if (pathname === "/login" && /^[\w-]+$/.test(searchParams.get("user"))) {
    // In place of your own login: it asks for no password.
    const cookie = `user=${searchParams.get("user")}; Path=/; HttpOnly; SameSite=Strict`;
    answer(response, 200, `Signed in as ${searchParams.get("user")}`, { "Set-Cookie": cookie });
  } else if (pathname === "/session/chat-token" && request.method === "POST") {
    if (user) answer(response, 200, { token: tokenFor(user) });
    else answer(response, 401, { detail: "sign in first" });
  } else {
    await file(pathname, response);
  }
}).listen(3000, () => console.log("http://localhost:3000"));
