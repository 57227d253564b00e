/**
 * Gathers the pages of one answer.
 *
 * @import {Data} from "./messages.js"
 */

import { BadFrame } from "./messages.js";

export class Pages {
  /** @type {any[][]} */
  #lists = [];
  /** What the pages have in common. */
  #answer = "";

  /** Whether the rest of an answer is still to come. */
  get missing() {
    return this.#lists.length > 0;
  }

  /** Throw away what has been gathered. */
  clear() {
    this.#lists = [];
  }

  /**
   * Take a sync or a batch.
   *
   * @param {Data} data
   * @returns {Data | null} it as a whole, or null while pages are missing.
   * @throws {BadFrame} it is not the page that should come now.
   */
  take({ page, pages, ...data }) {
    const answer = data.action + pages;
    if (page === undefined || page === 1) {
      this.clear();
      this.#answer = answer;
    }
    if (page === undefined) {
      return data;
    }
    const follows = answer === this.#answer && this.#lists.length === page - 1;
    if (!Array.isArray(data.payload) || !follows) {
      this.clear();
      throw new BadFrame("out of place");
    }
    this.#lists.push(data.payload);
    if (page !== pages) {
      return null;
    }
    const payload = this.#lists.flat();
    this.clear();
    return { ...data, payload };
  }
}
