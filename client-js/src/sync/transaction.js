/**
 * When collections show what has come. Between a `$begin` and its `$commit`, and after a lost
 * connection until every collection has its answer, changes wait behind the gate, so that those
 * that belong together are shown together. The gate never stays shut for more than `PATIENCE`.
 *
 * @import {Book} from "./book.js"
 * @import {Environment} from "../connection/environment.js"
 * @import {Subscription} from "./subscription.js"
 */

import { Timer } from "../connection/timer.js";

/** Milliseconds that a change waits at most for those that belong to it. */
export const PATIENCE = 1_000;

export class Gate {
  #book;
  #timer;
  #begun = false;
  /** Whose rows wait to be shown. @type {Set<Subscription>} */
  #due = new Set();

  /**
   * @param {Book} book
   * @param {Environment} env
   */
  constructor(book, env) {
    this.#book = book;
    this.#timer = new Timer(env);
  }

  /**
   * Take the word that something about a subscription, or about who holds it, may have changed.
   *
   * @param {Subscription} subscription
   */
  touch(subscription) {
    if (subscription.holders.size > 0) {
      this.#due.add(subscription);
    }
    this.#look();
  }

  /** Take the word that what comes from now on belongs together. */
  begin() {
    this.#begun = true;
  }

  /** Take the word that all that belongs together is here. */
  commit() {
    this.#begun = false;
    this.#look();
  }

  /** Take the word that the connection is gone: rows wait for the next one, their status does not. */
  lost() {
    this.#rest();
    tell(this.#book.all);
  }

  #look() {
    if (this.#begun || this.#book.all.some((each) => each.behind && each.holders.size > 0)) {
      if (!this.#timer.isSet) {
        this.#timer.set(() => this.#open(), PATIENCE);
      }
    } else {
      this.#open();
    }
  }

  #open() {
    this.#rest();
    for (const subscription of this.#book.all) {
      subscription.behind = false;
    }
    const due = [...this.#due];
    this.#due.clear();
    tell(due);
  }

  #rest() {
    this.#timer.clear();
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
    subscription.show();
  }
  for (const { holders } of subscriptions) {
    for (const holder of [...holders]) {
      holder.tell();
    }
  }
}
