/**
 * When collections show what has come. Between a `$begin` and its `$commit`, and after a lost
 * connection until every collection has its answer, changes wait, so that those that belong
 * together are shown together. They never wait for more than `PATIENCE`.
 *
 * @import {Subscriptions} from "./subscriptions.js"
 * @import {Environment} from "../connection/environment.js"
 * @import {Subscription} from "./subscription.js"
 */

import { Timer } from "../connection/timer.js";

/** Milliseconds that a change waits at most for those that belong to it. */
export const PATIENCE = 1_000;

export class Transaction {
  #subscriptions;
  #timer;
  #begun = false;
  /** Whose rows wait to be shown. @type {Set<Subscription>} */
  #due = new Set();

  /**
   * @param {Subscriptions} subscriptions
   * @param {Environment} env
   */
  constructor(subscriptions, env) {
    this.#subscriptions = subscriptions;
    this.#timer = new Timer(env);
  }

  /**
   * Called when something about a subscription, or about who holds it, may have changed.
   *
   * @param {Subscription} subscription
   */
  _touch(subscription) {
    if (subscription._store._isHeld) {
      this.#due.add(subscription);
    }
    this.#look();
  }

  /** Called when what comes from now on belongs together. */
  _begin() {
    this.#begun = true;
  }

  /** Called when all that belongs together is here. */
  _commit() {
    this.#begun = false;
    this.#look();
  }

  /** Called when the connection is gone: rows wait for the next one, their status does not. */
  _lost() {
    this.#rest();
    tell(this.#subscriptions._all);
  }

  #look() {
    if (this.#begun || this.#subscriptions._all.some((each) => each._store._isBehind)) {
      if (!this.#timer._isSet) {
        this.#timer._set(() => this.#open(), PATIENCE);
      }
    } else {
      this.#open();
    }
  }

  #open() {
    this.#rest();
    for (const subscription of this.#subscriptions._all) {
      subscription._store._wait(false);
    }
    const due = [...this.#due];
    this.#due.clear();
    tell(due);
  }

  #rest() {
    this.#timer._clear();
    this.#begun = false;
  }
}

/**
 * Bring up to date what is shown, all of it, and then tell those for whom that is news.
 *
 * @param {Subscription[]} subscriptions
 */
function tell(subscriptions) {
  for (const subscription of subscriptions) {
    subscription._show();
  }
  for (const subscription of subscriptions) {
    subscription._store._tell();
  }
}
