/**
 * The module's door: `connect` returns a client.
 */

import * as client from "./client.js";
import { Auth } from "./connection/auth.js";
import { environment } from "./connection/environment.js";
import { socketUrl } from "./connection/url.js";
import { misused } from "./errors.js";

/**
 * @typedef {import("./client.js").Client} Client
 * @typedef {import("./client.js").CollectionOptions} CollectionOptions
 * @typedef {import("./client.js").EmitOptions} EmitOptions
 * @typedef {import("./collection.js").CollectionError} CollectionError
 * @typedef {import("./collection.js").CollectionStatus} CollectionStatus
 * @typedef {import("./connection/connection.js").Ending} Ending
 * @typedef {import("./connection/connection.js").Status} Status
 * @typedef {import("./connection/environment.js").Options} Options
 * @typedef {import("./sync/messages.js").Data} Data
 */

/**
 * @template {object} [R=Record<string, any>]
 * @typedef {import("./collection.js").Collection<R>} Collection
 */

/**
 * Return a client of the server at `url`. It connects at its first `emit`, or at `connect()`.
 *
 * @param {string | URL} [url] the server's WebSocket address; relative to the page, and with http
 *   for ws if you like. Without one it is `/ws/` on the page's own host.
 * @param {Options} [options]
 * @throws {TypeError} the address is none, or there are no WebSockets here and none were passed in.
 */
export function connect(url, options = {}) {
  const address = socketUrl(url);
  const env = { ...environment(), ...options };
  if (!env.WebSocket) {
    misused("no WebSocket here; pass options.WebSocket");
  }
  return new client.Client(address, env, options.auth && Auth);
}
