/**
 * What a subscription is for: an event and its params, and the texts that the params are known by.
 *
 * @import {Params} from "./messages.js"
 */

import { canonical } from "./messages.js";

/** The text of no params. */
const NONE = "{}";

export class Topic {
  _event;
  /** Our own copy; none where there is nothing in it. @type {Params | undefined} */
  _params;
  /** The texts that its params are known by: its own, and the server's. @type {Set<string>} */
  #texts;
  /** The canonical params' text, once the server has told. @type {string | null} */
  #canonical = null;

  /**
   * @param {string} event
   * @param {Params | null} [params]
   */
  constructor(event, params) {
    const text = canonical(params);
    this._event = event;
    this._params = text === NONE ? undefined : JSON.parse(text);
    this.#texts = new Set([text]);
  }

  /**
   * Return whether this is an event with these params.
   *
   * @param {string} event
   * @param {string} text the params' text.
   */
  _matches(event, text) {
    return this._event === event && this.#texts.has(text);
  }

  /**
   * Return whether the server has told that these are its params.
   *
   * @param {string} event
   * @param {string | null} text the canonical params' text.
   */
  _isSettledAs(event, text) {
    return this._event === event && this.#canonical === text;
  }

  /**
   * Return whether another one is the same, by any of the texts that its params are known by.
   *
   * @param {Topic} other
   * @param {string} [text] its canonical params' text.
   */
  _isLike(other, text = "") {
    return [...other.#texts, text].some((one) => this._matches(other._event, one));
  }

  /**
   * Called when the server has told the canonical params.
   *
   * @param {string} text
   */
  _settle(text) {
    this.#canonical = text;
    this.#texts.add(text);
  }

  /**
   * Be known by another one's texts too.
   *
   * @param {Topic} other
   */
  _join(other) {
    for (const text of other.#texts) {
      this.#texts.add(text);
    }
  }
}
