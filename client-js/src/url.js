/** Where the server is. */

/**
 * Return the WebSocket address that `url` means.
 *
 * @param {string | URL} url absolute or relative; http and https stand for ws and wss.
 * @param {string} [base] the page's own address.
 * @throws {TypeError} there is no such address.
 */
export function socketUrl(url, base) {
  try {
    const found = new URL(url, base);
    found.protocol = found.protocol.replace("http", "ws");
    found.hash = "";
    if (/^wss?:/.test(found.href)) {
      return found.href;
    }
  } catch {} // told below, as any other address that is none
  throw new TypeError(`bindserver: "${url}" is no WebSocket address`);
}
