/** Addresses of the service, as applications name them. */
/**
 * `https://host/path` of each, without `/ws`; the caller appends the rest. A password in an address is not repeated.
 *
 * @param {unknown} urls
 * @returns {string[]}
 */
export function baseUrls(urls: unknown): string[];
