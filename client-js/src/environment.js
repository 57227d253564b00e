/**
 * What the client needs of its surroundings: sockets, time and randomness. Everything else in this
 * folder takes them from here, so that a test can pass in its own.
 */

/**
 * @typedef {object} Options
 * @property {new (url: string, protocols?: string[]) => WebSocket} [WebSocket]
 * @property {() => number} [now] milliseconds; a clock that only rises.
 * @property {() => number} [random] from 0 to 1.
 * @property {(fn: () => void, delay: number) => any} [setTimeout]
 * @property {(timer: any) => void} [clearTimeout]
 * @property {string[]} [protocols] the WebSocket subprotocols to ask for.
 *
 * @typedef {Required<Options>} Environment
 */

export const SUBPROTOCOL = "bindserver.v1";

/**
 * Return `options` with the surroundings' own things where nothing was passed in.
 *
 * @param {Options} options
 * @returns {Environment}
 * @throws {TypeError} there are no WebSockets here, and none were passed in.
 */
export function environment(options) {
  const WebSocket = options.WebSocket ?? globalThis.WebSocket;
  if (typeof WebSocket !== "function") {
    throw new TypeError("bindserver: no WebSocket here; pass one in as options.WebSocket");
  }
  return {
    WebSocket,
    now: options.now ?? (() => performance.now()),
    random: options.random ?? Math.random,
    setTimeout: options.setTimeout ?? ((fn, delay) => globalThis.setTimeout(fn, delay)),
    clearTimeout: options.clearTimeout ?? ((timer) => globalThis.clearTimeout(timer)),
    protocols: options.protocols ?? [SUBPROTOCOL],
  };
}
