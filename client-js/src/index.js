/**
 * The module's door: `connect` returns a client.
 *
 * @import {Options} from "./environment.js"
 */

import { Client } from "./client.js";
import { environment } from "./environment.js";
import { socketUrl } from "./url.js";

/**
 * Return a client of the server at `url`. It connects at its first `emit`, or at `connect()`.
 *
 * @param {string | URL} [url] the server's WebSocket address; relative to the page, and with http
 *   for ws if you like. Without one it is `/ws/` on the page's own host.
 * @param {Options} [options]
 * @throws {TypeError} the address is none.
 */
export function connect(url = "/ws/", options = {}) {
  return new Client(socketUrl(url, globalThis.location?.href), environment(options));
}
