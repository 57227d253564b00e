/**
 * Gathers the pages of one answer.
 *
 * @import {Data} from "./messages.js"
 */

import { BadFrame } from "./messages.js";

export class Paging {
  /** @type {any[][]} */
  #lists = [];
  /** What the pages have in common. */
  #answer = "";

  /** Whether the rest of an answer is still to come. */
  get _missing() {
    return this.#lists.length > 0;
  }

  /** Throw away what has been gathered. */
  _clear() {
    this.#lists = [];
  }

  /**
   * Take a sync or a batch.
   *
   * @param {Data} data
   * @returns {Data | null} it as a whole, or null while pages are missing.
   * @throws {BadFrame} it is not the page that should come now.
   */
  _take({ page = 1, pages = 1, ...data }) {
    const answer = data.action + pages;
    if (page === 1) {
      this._clear();
      this.#answer = answer;
    }
    const follows = answer === this.#answer && this.#lists.length === page - 1;
    if (!Array.isArray(data.payload) || !follows) {
      this._clear();
      throw new BadFrame("no list, or out of place");
    }
    this.#lists.push(data.payload);
    if (page !== pages) {
      return null;
    }
    const payload = this.#lists.flat();
    this._clear();
    return { ...data, payload };
  }
}
