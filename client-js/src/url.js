/** Where the server is. */

/**
 * Return the WebSocket address that `url` means.
 *
 * @param {string | URL} url absolute or relative; http and https stand for ws and wss.
 * @param {string} [base] the page's own address.
 * @throws {TypeError} there is no such address.
 */
export function socketUrl(url, base) {
  const found = resolve(url, base);
  found.protocol = found.protocol.replace(/^http/, "ws");
  found.hash = "";
  if (!/^wss?:$/.test(found.protocol)) {
    throw new TypeError(`bindserver: ${found.href} is no WebSocket address`);
  }
  return found.href;
}

/**
 * @param {string | URL} url
 * @param {string} [base]
 */
function resolve(url, base) {
  try {
    return new URL(url, base);
  } catch {
    throw new TypeError(`bindserver: no address to connect to in "${url}"`);
  }
}
