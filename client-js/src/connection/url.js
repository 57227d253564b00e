/** Where the server is. */

import { misused } from "../errors.js";

const SCHEME = /^\w[\w+.-]*:/;
const ADDRESS = /^(?:ws|http)(s?):(\/\/[^/?#][^#]*)/i;

/**
 * Return the WebSocket address that an absolute one means: http and https stand for ws and wss.
 *
 * @param {string} address
 * @throws {TypeError} there is no such address.
 */
export function asWebSocket(address) {
  const [, secure, rest] = ADDRESS.exec(address) ?? [];
  return rest ? `ws${secure && "s"}:${rest}` : misused(`"${address}" is no WebSocket address`);
}

/**
 * Return the WebSocket address that `url` means. Absolute addresses are read as texts, since not
 * every surroundings' `URL` can be relied on: React Native's has no setters, ends every address with
 * a slash and knows no relative one.
 *
 * @param {string | URL} [url] absolute or relative; http and https stand for ws and wss.
 * @param {string} [base] the page's own address.
 * @throws {TypeError} there is no such address.
 */
export function socketUrl(url = "/ws/", base = globalThis.location?.href) {
  const text = String(url).trim();
  try {
    const address = SCHEME.test(text) ? text : new URL(text, base).href;
    if (globalThis.URL?.canParse?.(address) !== false) {
      return asWebSocket(address);
    }
  } catch {} // told below, with the address as it was given
  return misused(`"${url}" is no WebSocket address`);
}
