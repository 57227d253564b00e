/**
 * The wire contract's messages: what the client says, written, and what it is told, parsed.
 * Knows nothing of connections; `tests/vectors/client_messages.json` holds it to the server's word.
 */

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

/** What the server sent is not what the contract says. */
export class BadFrame extends Error {}

/**
 * Write a message.
 *
 * @template [T=unknown]
 * @param {string} event
 * @param {T} data
 */
function write(event, data) {
  return JSON.stringify({ event, data });
}

/** Ask for a subscription, or for its end. @type {typeof write<Asked>} */
export const ask = write;

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
 */
export function authenticate(token, ref) {
  return write("$auth", { token, ref });
}

/**
 * Return the event and data of a server's message. An error that says nothing is one all the same.
 *
 * @param {string} text
 * @returns {{event: string, data: any}} `data` is an object, except in the answer to a ping.
 * @throws {BadFrame}
 */
export function parse(text) {
  const body = read(text);
  if (!isObject(body) || typeof body.event !== "string") {
    throw new BadFrame("no event");
  }
  const { event, data } = body;
  if (isObject(data) || event === "$pong") {
    if (data?.action === "error") {
      data.payload = { code: "internal", ...data.payload };
    }
    return { event, data };
  }
  if (event[0] !== "$") {
    throw new BadFrame("no data");
  }
  return { event, data: {} };
}

/**
 * Return what a text says, and nothing for what is not JSON.
 *
 * @param {string} text
 */
function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
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
 * Return whether two values from JSON are the same.
 *
 * @param {any} a
 * @param {any} b
 * @returns {boolean}
 */
export function same(a, b) {
  if (!a || !b || typeof a !== "object" || typeof b !== "object") {
    return a === b;
  }
  const names = Object.keys(a);
  return (
    Array.isArray(a) === Array.isArray(b) &&
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && same(a[name], b[name]))
  );
}

/**
 * Return whether a value is an object that has names: no list, and no `Map` or `URLSearchParams`, of
 * which JSON would say nothing.
 *
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !(Symbol.iterator in value);
}

/**
 * @param {unknown} value
 * @returns {value is Key}
 */
export function isKey(value) {
  return typeof value === "string" || Number.isSafeInteger(value);
}
