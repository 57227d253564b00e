/**
 * One timer, which is set anew or cleared. Where it waits for another attempt, it waits longer each
 * time.
 *
 * @import {Environment} from "./environment.js"
 */

import { retryDelay } from "./backoff.js";

export class Timer {
  #env;
  /** @type {any} */
  #timer = null;
  /** How many attempts in a row have failed. */
  #failures = 0;

  /** @param {Environment} env */
  constructor(env) {
    this.#env = env;
  }

  /** Whether it is still to fire. */
  get _isSet() {
    return this.#timer !== null;
  }

  /**
   * Call `fn` after `delay` milliseconds, and nothing that was set before.
   *
   * @param {() => void} fn
   * @param {number} delay
   */
  _set(fn, delay) {
    this._clear();
    this.#timer = this.#env.setTimeout(() => {
      this.#timer = null;
      fn();
    }, delay);
  }

  /**
   * Call `fn`, another attempt, after a wait that grows with each failure.
   *
   * @param {() => void} fn
   */
  _later(fn) {
    this._set(fn, retryDelay(this.#failures++, this.#env.random));
  }

  /** Called when an attempt was good for something. */
  _accepted() {
    this.#failures = 0;
  }

  _clear() {
    this.#env.clearTimeout(this.#timer);
    this.#timer = null;
  }
}
