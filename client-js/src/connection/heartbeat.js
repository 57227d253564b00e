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
const NEVER = -Infinity;

export class Heartbeat {
  #env;
  #timer;
  #ping;
  #dead;
  #heardAt = 0;
  /** When we asked, or `NEVER` while we do not wait for an answer. */
  #askedAt = NEVER;
  #overslept = false;

  /**
   * @param {Environment} env
   * @param {() => void} ping asks the server for a sign of life.
   * @param {() => void} dead hears that none came; the heart has stopped by then.
   */
  constructor(env, ping, dead) {
    this.#env = env;
    this.#timer = new Timer(env);
    this.#ping = ping;
    this.#dead = dead;
  }

  _start() {
    this._stop();
    this._heard();
    this.#wait(IDLE);
  }

  _stop() {
    this.#timer._clear();
    this.#askedAt = NEVER;
    this.#overslept = false;
  }

  /** Take note that something came from the server. */
  _heard() {
    this.#heardAt = this.#env.now();
  }

  /** Ask now, unless we are waiting for an answer already. */
  _ping() {
    if (this.#timer._isSet && this.#askedAt === NEVER) {
      this.#ask();
    }
  }

  #ask() {
    this.#askedAt = this.#env.now();
    this.#wait(PATIENCE);
    this.#ping();
  }

  /** @param {number} delay */
  #wait(delay) {
    this.#timer._set(() => this.#look(), delay);
  }

  #look() {
    if (this.#heardAt < this.#askedAt) {
      this.#unanswered(this.#env.now() - this.#askedAt - PATIENCE);
      return;
    }
    this.#askedAt = NEVER;
    this.#overslept = false;
    const left = IDLE - (this.#env.now() - this.#heardAt);
    if (left > 0) {
      this.#wait(left);
    } else {
      this.#ask();
    }
  }

  /** @param {number} late */
  #unanswered(late) {
    if (late > OVERSLEPT && !this.#overslept) {
      this.#overslept = true;
      this.#ask();
      return;
    }
    this._stop();
    this.#dead();
  }
}
