/** Addresses of the service, as applications name them. */

/**
 * `https://host/path` of each, without `/ws`; the caller appends the rest. A password in an address is not repeated.
 *
 * @param {unknown} urls
 * @returns {string[]}
 */
export function baseUrls(urls) {
  if (!Array.isArray(urls)) throw new TypeError("urls: a list of addresses expected");
  if (!urls.length) throw new TypeError("urls: at least one address is needed");
  return urls.map(base);
}

/** @param {unknown} text */
function base(text) {
  const url = typeof text === "string" && /^(https?|wss?):\/\//i.test(text) && URL.canParse(text) ? new URL(text) : null;
  if (!url) throw new TypeError("urls: expected http(s)://host or ws(s)://host");
  if (url.username || url.password) throw new TypeError("urls: an address names a user: a token is given by itself");
  const scheme = /^(https|wss):/.test(url.protocol) ? "https" : "http";
  return `${scheme}://${url.host}${url.pathname.replace(/\/+$/, "").replace(/\/ws$/, "")}`;
}
