/**
 * Notices a dead connection: after a silence it asks for a sign of life, and gives up when none
 * comes. One timer, set anew only when it has run out, so that a busy connection costs nothing.
 *
 * @import {Environment} from "./environment.js"
 */

import { Timer } from "./timer.js";

/** Milliseconds of silence until we ask. */
export const IDLE = 20_000;
/** Milliseconds that the server has to answer. */
export const PATIENCE = 8_000;
/** A timer that fires so much too late slept with the machine: what it measured means nothing. */
const OVERSLEPT = 2_000;

export class Heartbeat {
  #env;
  #timer;
  #ping;
  #dead;
  #heardAt = 0;
  /** When the timer should fire. */
  #dueAt = 0;
  /** How often we have asked since we heard anything. */
  #asked = 0;

  /**
   * @param {Environment} env
   * @param {() => void} ping asks the server for a sign of life.
   * @param {() => void} dead hears that none came; the heart has stopped by itself then.
   */
  constructor(env, ping, dead) {
    this.#env = env;
    this.#timer = new Timer(env);
    this.#ping = ping;
    this.#dead = dead;
  }

  _start() {
    this._heard();
    this.#wait(IDLE);
  }

  _stop() {
    this.#timer._clear();
  }

  /** Take note that something came from the server. */
  _heard() {
    this.#heardAt = this.#env.now();
    this.#asked = 0;
  }

  /** Ask now, unless we are waiting for an answer already. */
  _ping() {
    if (this.#timer._isSet && !this.#asked) {
      this.#ask();
    }
  }

  #ask() {
    this.#asked += 1;
    this.#wait(PATIENCE);
    this.#ping();
  }

  /** @param {number} delay */
  #wait(delay) {
    this.#dueAt = this.#env.now() + delay;
    this.#timer._set(() => this.#look(), delay);
  }

  #look() {
    const now = this.#env.now();
    const left = this.#heardAt + IDLE - now;
    if (!this.#asked && left > 0) {
      this.#wait(left);
    } else if (!this.#asked || (this.#asked === 1 && now - this.#dueAt > OVERSLEPT)) {
      this.#ask();
    } else {
      this.#dead();
    }
  }
}
