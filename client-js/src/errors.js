/**
 * What went wrong, as the server puts it and as people see it.
 *
 * @import {CollectionError} from "./collection.js"
 */

/** @typedef {{code: string, detail?: string, attempts?: number}} Problem */

/**
 * Refuse a call that makes no sense.
 *
 * @param {string} text
 * @returns {never}
 * @throws {TypeError}
 */
export function misused(text) {
  throw new TypeError(`bindserver: ${text}`);
}

/**
 * Return an error of the contract's kind.
 *
 * @param {Problem} problem
 * @param {boolean} final whether nothing will be tried again.
 * @returns {CollectionError}
 */
export function failure({ code, detail = "", attempts }, final) {
  return Object.assign(new Error(detail || code), { code, detail, passing: !final, attempts });
}
