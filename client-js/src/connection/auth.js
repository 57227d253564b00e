/**
 * Proves to the server who we are: on every new connection before anything is asked, again before
 * the proof ends, and again, after a wait, when the server takes it no more.
 *
 * @import {CollectionError} from "../collection.js"
 * @import {Environment} from "./environment.js"
 * @import {Problem} from "../errors.js"
 * @import {Emitter} from "../sync/emitter.js"
 * @import {Subscriptions} from "../sync/subscriptions.js"
 * @import {Transaction} from "../sync/transaction.js"
 */

import { failure } from "../errors.js";
import { authenticate } from "../sync/messages.js";
import { ACCEPTED } from "../sync/states.js";
import { Timer } from "./timer.js";

/** Milliseconds that the server has to answer, and that a token may take to be got. */
export const ANSWER = 15_000;
/** Which part of a proof's time is used. */
const PART = 0.75;
const SOONEST = 1_000;
/** The longest time that a timer takes. */
const LONGEST = 2 ** 31 - 1;

export class Auth {
  #env;
  #timer;
  #send;
  #subscriptions;
  #transaction;
  #emitter;
  #blame;
  /** The newest attempt; what the server says of an older one is thrown away. */
  #round = 0;
  /** The newest attempt whose token is of no use: one was shown, or the connection is gone. */
  #spent = 0;
  #trying = false;

  /**
   * @param {Environment} env
   * @param {(text: string) => void} send
   * @param {Subscriptions} subscriptions are asked for once the server knows who we are.
   * @param {Transaction} transaction
   * @param {Emitter} emitter
   * @param {(error: CollectionError | null) => void} blame hears what stands in the way.
   */
  constructor(env, send, subscriptions, transaction, emitter, blame) {
    this.#env = env;
    this.#timer = new Timer(env);
    this.#send = send;
    this.#subscriptions = subscriptions;
    this.#transaction = transaction;
    this.#emitter = emitter;
    this.#blame = blame;
  }

  /**
   * Called when there is a connection: get a token, and show it. One that comes too late is welcome
   * where none has come before it.
   */
  async _opened() {
    this.#round += 1;
    const round = this.#round;
    this.#trying = true;
    this.#wait("auth gave no token in time");
    try {
      const { auth } = this.#env;
      const token = await auth?.();
      if (round > this.#spent) {
        this.#prove(token);
      }
    } catch (error) {
      if (round === this.#round && round > this.#spent) {
        this.#fail({ code: "unauthenticated", detail: String(error) });
      }
    }
  }

  /** Called when the connection is gone. */
  _closed() {
    this.#spent = this.#round;
    this.#round += 1;
    this.#trying = false;
    this.#timer._clear();
  }

  /** Called when another attempt may fare better now: one that waits is not waited for. */
  _look() {
    if (this.#trying && this.#spent < this.#round) {
      this._opened();
    }
  }

  /** Called when the proof was good for something. */
  _accepted() {
    this.#timer._accepted();
  }

  /**
   * Called when the server takes our proof no more: try again after a wait.
   *
   * @param {string} code
   * @returns {boolean} whether that is what the code says.
   */
  _refused(code) {
    const ours = code === "expired" || code === "unauthenticated";
    if (ours && !this.#trying) {
      this.#later();
    }
    return ours;
  }

  /**
   * Take the server's answer.
   *
   * @param {Record<string, any>} data
   */
  _take({ ref, action, payload, expires }) {
    if (!this.#trying || (ref != null && ref !== this.#round)) {
      return;
    }
    if (action === "error") {
      this.#fail(payload);
    } else {
      this.#pass(expires);
    }
  }

  /** @param {unknown} token */
  #prove(token) {
    const text = token == null ? "" : authenticate(token, this.#round);
    this.#spent = this.#round;
    if (text) {
      this.#wait("no answer");
      this.#send(text);
    } else {
      this.#pass(null);
    }
  }

  /** @param {string} detail what is said of it when that takes too long. */
  #wait(detail) {
    this.#timer._set(() => this.#fail({ code: "unavailable", detail }), ANSWER);
  }

  /** @param {number | null} expires seconds. */
  #pass(expires) {
    this.#trying = false;
    this.#timer._clear();
    if (typeof expires === "number") {
      const delay = Math.max(SOONEST, expires * 1_000 * PART);
      this.#timer._set(() => this._opened(), Math.min(LONGEST, delay));
    }
    this.#blame(null);
    this.#subscriptions._opened();
  }

  /**
   * Called when we could not prove who we are; it will be tried again.
   *
   * @param {Problem} payload
   */
  #fail(payload) {
    this.#later();
    this.#blame(failure(payload, false));
    for (const subscription of this.#subscriptions._all) {
      if (!subscription._is(ACCEPTED)) {
        subscription._store._fail(payload);
        this.#transaction._touch(subscription);
      }
    }
    this.#emitter._tell("error", { action: "error", payload });
  }

  #later() {
    this.#trying = true;
    this.#round += 1;
    this.#timer._later(() => this._opened());
  }
}
