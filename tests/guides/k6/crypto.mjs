// In place of `k6/crypto`.
import { createHmac } from "node:crypto";

export const hmac = (algorithm, secret, text) => createHmac(algorithm, secret).update(text).digest("base64url");
