/**
 * Gathers the pages of one answer.
 *
 * @import {Data} from "./messages.js"
 */

import { BadFrame } from "./messages.js";

export class Pages {
  /** @type {Data | null} */
  #first = null;
  #next = 1;

  /** Whether the rest of an answer is still to come. */
  get missing() {
    return this.#first !== null;
  }

  /** Throw away what has been gathered. */
  clear() {
    this.#first = null;
    this.#next = 1;
  }

  /**
   * Take a sync or a batch.
   *
   * @param {Data} data
   * @returns {Data | null} it as a whole, or null while pages are missing.
   * @throws {BadFrame} it is not the page that should come now.
   */
  take(data) {
    if (data.page === undefined) {
      this.clear();
      return data;
    }
    this.#check(data);
    if (data.page === 1) {
      this.#first = { ...data, payload: [] };
      this.#next = 1;
    }
    const first = /** @type {Data} */ (this.#first);
    for (const item of data.payload) {
      first.payload.push(item);
    }
    this.#next += 1;
    return data.page === data.pages ? this.#whole(first, data) : null;
  }

  /** @param {Data} data */
  #check({ action, page, pages, payload }) {
    const first = this.#first;
    const follows = first?.action === action && first.pages === pages && page === this.#next;
    if (!Array.isArray(payload) || (page !== 1 && !follows)) {
      this.clear();
      throw new BadFrame("a page out of place");
    }
  }

  /**
   * @param {Data} first
   * @param {Data} last
   */
  #whole(first, last) {
    this.clear();
    const { page, pages, ...data } = { ...last, payload: first.payload };
    return data;
  }
}
