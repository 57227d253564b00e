/**
 * Where the server is. Addresses are read as texts: not every surroundings' `URL` can be relied on.
 * React Native's has no setters, ends every address with a slash and knows no relative one.
 */

import { misused } from "../errors.js";

const ABSOLUTE = /^\w[\w+.-]*:/;
const ADDRESS = /^(?:ws|http)(s?):(\/\/[^/?#][^#]*)/i;

/**
 * Return the WebSocket address that `url` means.
 *
 * @param {string | URL} [url] absolute or relative; http and https stand for ws and wss.
 * @param {string} [base] the page's own address.
 * @throws {TypeError} there is no such address.
 */
export function socketUrl(url = "/ws/", base = globalThis.location?.href) {
  const text = String(url).trim();
  try {
    const whole = ABSOLUTE.test(text) ? text : new URL(text, base).href;
    const [, secure, rest] = ADDRESS.exec(whole) ?? [];
    if (rest && globalThis.URL?.canParse?.(whole) !== false) {
      return `ws${secure && "s"}:${rest}`;
    }
  } catch {} // told below, as any other address that is none
  return misused(`"${url}" is no WebSocket address`);
}
