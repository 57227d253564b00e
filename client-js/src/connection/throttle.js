/**
 * How fast we may speak: a bucket of messages that refills with time. It stays below what a server
 * takes in its usual settings (200 at once, 50 a second), with room for what is not counted here.
 *
 * @import {Environment} from "./environment.js"
 */

import { Timer } from "./timer.js";

/** How many messages may be sent at once. */
export const BURST = 100;
/** How many a second after that. */
export const RATE = 40;
const SLOWEST = 1;

export class Throttle {
  #env;
  #timer;
  #at = 0;
  #left = 0;
  #rate = 0;

  /** @param {Environment} env */
  constructor(env) {
    this.#env = env;
    this.#timer = new Timer(env);
    this._start();
  }

  /** Begin anew, for a server that has heard nothing of us yet, or not for long. */
  _start() {
    this.#timer._clear();
    this.#at = this.#env.now();
    this.#left = BURST;
    this.#rate = RATE;
  }

  /**
   * Return whether a message may be sent now; if not, `again` is called when one may.
   *
   * @param {() => void} again
   */
  _take(again) {
    const now = this.#env.now();
    this.#left += ((now - this.#at) * this.#rate) / 1_000;
    this.#at = now;
    if (this.#left >= BURST) {
      this._start();
    }
    if (this.#left < 1) {
      this.#timer._set(again, Math.ceil(((1 - this.#left) * 1_000) / this.#rate));
      return false;
    }
    this.#left -= 1;
    return true;
  }

  /** Called when this was too fast; several about one burst count once. */
  _slow() {
    if (this.#left >= 1) {
      this.#rate = Math.max(SLOWEST, this.#rate / 2);
    }
    this.#at = this.#env.now();
    this.#left = 0;
  }
}
