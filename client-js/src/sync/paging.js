/**
 * Gathers the pages of one answer.
 *
 * @import {Data} from "./messages.js"
 */

export class Paging {
  /** @type {any[][]} */
  #lists = [];
  /** Which page is to come, of which answer; empty while none is. */
  #next = "";

  /** Whether the rest of an answer is still to come. */
  get _missing() {
    return this.#next !== "";
  }

  /** Throw away what has been gathered. */
  _clear() {
    this.#next = "";
    this.#lists = [];
  }

  /**
   * Take a sync or a batch.
   *
   * @param {Data} data
   * @returns {Data | null} it as a whole, or null while pages are missing.
   * @throws {Error} it is not the page that should come now.
   */
  _take({ page = 1, pages = 1, ...data }) {
    const { action, payload } = data;
    const name = (/** @type {number} */ number) => [action, number, pages].join();
    if (page === 1) {
      this._clear();
    } else if (this.#next !== name(page)) {
      throw new Error("page out of place");
    }
    if (!Array.isArray(payload)) {
      throw new Error("no list");
    }
    this.#lists.push(payload);
    this.#next = name(page + 1);
    if (page < pages) {
      return null;
    }
    const rows = this.#lists.flat();
    this._clear();
    return { ...data, payload: rows };
  }
}
