/**
 * What the client needs of its surroundings: sockets, time and randomness. Everything else in this
 * folder takes them from here, so that a test can pass in its own.
 */

/**
 * @typedef {object} Socket what the client uses of a WebSocket.
 * @property {(text: string) => void} send
 * @property {(code?: number) => void} close
 * @property {any} onopen
 * @property {any} onmessage
 * @property {any} onclose
 * @property {any} onerror
 *
 * @typedef {object} Options
 * @property {() => unknown} [auth] returns a token, or a promise of one; null for none. It is asked
 *   on every new connection, before the token ends, and when the server takes it no more.
 * @property {new (url: string, protocols?: string[]) => Socket} [WebSocket]
 * @property {() => number} [now] milliseconds; a clock that only rises.
 * @property {() => number} [random] from 0 to 1.
 * @property {(fn: () => void, delay: number) => any} [setTimeout]
 * @property {(timer: any) => void} [clearTimeout]
 * @property {(fn: () => void) => void} [queueMicrotask] calls `fn` when what runs now has ended.
 * @property {string[]} [protocols] the WebSocket subprotocols to ask for.
 *
 * @typedef {Required<Omit<Options, "auth">> & Pick<Options, "auth">} Environment
 */

export const SUBPROTOCOL = "bindserver.v1";

/**
 * Return the surroundings' own things.
 *
 * @returns {Environment}
 */
export function environment() {
  return {
    WebSocket: globalThis.WebSocket,
    now: () => performance.now(),
    random: Math.random,
    setTimeout: (/** @type {() => void} */ fn, /** @type {number} */ delay) =>
      setTimeout(fn, delay),
    clearTimeout: (/** @type {any} */ timer) => clearTimeout(timer),
    queueMicrotask: (/** @type {() => void} */ fn) => queueMicrotask(fn),
    protocols: [SUBPROTOCOL],
  };
}
