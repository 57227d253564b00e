/**
 * One timer, which is set anew or cleared.
 *
 * @import {Environment} from "./environment.js"
 */

export class Timer {
  #env;
  /** @type {any} */
  #timer = null;

  /** @param {Environment} env */
  constructor(env) {
    this.#env = env;
  }

  /** Whether it is still to fire. */
  get isSet() {
    return this.#timer !== null;
  }

  /**
   * Call `fn` after `delay` milliseconds, and nothing that was set before.
   *
   * @param {() => void} fn
   * @param {number} delay
   */
  set(fn, delay) {
    this.clear();
    this.#timer = this.#env.setTimeout(() => {
      this.#timer = null;
      fn();
    }, delay);
  }

  clear() {
    this.#env.clearTimeout(this.#timer);
    this.#timer = null;
  }
}
