/**
 * The wire contract's messages: what the client says, written, and what it is told, parsed.
 * Knows nothing of connections; `tests/vectors/client_messages.json` holds it to the server's word.
 */

import { misused } from "../errors.js";

/**
 * @typedef {string | number} Key
 * @typedef {Record<string, unknown>} Row
 * @typedef {Record<string, any>} Params
 *
 * @typedef {object} Data what `io.on` listeners of a binding's event receive.
 * @property {string} action
 * @property {any} [payload]
 * @property {Key | null} [after]
 * @property {Params} [params]
 * @property {string} [cursor]
 * @property {number} [page]
 * @property {number} [pages]
 * @property {number} [ref]
 * @property {string} [code]
 *
 * @typedef {object} Asked what a message about a subscription says besides the event.
 * @property {boolean} [disconnect]
 * @property {Params} [params]
 * @property {number} [page_size]
 * @property {string} [cursor]
 * @property {Key[]} [held]
 * @property {number} [ref]
 */

/**
 * Write a message; about a subscription where it is not said otherwise.
 *
 * @template [T=Asked]
 * @param {string} event
 * @param {T} data
 */
export function write(event, data) {
  return JSON.stringify({ event, data });
}

/** @param {number} number */
export function ping(number) {
  return write("$ping", number);
}

/** Ask for the marks around what belongs together. */
export function hello() {
  return write("$hello", { want: ["commit", "begin"] });
}

/**
 * @param {unknown} token
 * @param {number} ref
 * @throws {TypeError} it is none: without one the server would ask the page's cookie.
 */
export function authenticate(token, ref) {
  if (JSON.stringify(token) === undefined) {
    misused("auth gave no token");
  }
  return write("$auth", { token, ref });
}

/**
 * Return the event and data of a server's message. An error that says nothing is one all the same.
 *
 * @param {string} text
 * @returns {{event: string, data: any}} `data` is an object for all events but the protocol's own.
 * @throws {Error} it is not what the contract says.
 */
export function parse(text) {
  const { event, data } = JSON.parse(text) ?? {};
  if (typeof event !== "string" || (event[0] !== "$" && !isObject(data))) {
    throw new Error("no event or data");
  }
  if (data?.action === "error") {
    data.payload = { code: "internal", ...data.payload };
  }
  return { event, data: data ?? {} };
}

/**
 * Return params as the text by which two subscriptions are one: names sorted at every depth.
 *
 * @param {Params | null} [params]
 */
export function canonical(params) {
  return JSON.stringify(params ?? {}, (_, value) => (isObject(value) ? sorted(value) : value));
}

/** @param {Params} value */
function sorted(value) {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Return whether a value is an object that has names: no list, and no `Map` or `URLSearchParams`, of
 * which JSON would say nothing.
 *
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
export function isObject(value) {
  return !!value && typeof value === "object" && !(Symbol.iterator in value);
}

/**
 * @param {unknown} value
 * @returns {value is Key}
 */
export function isKey(value) {
  return typeof value === "string" || Number.isSafeInteger(value);
}
