/**
 * The subscriptions that are wanted, and how to find the one that a message means.
 *
 * @import {Subscription} from "./subscription.js"
 */

export class Book {
  /** @type {Set<Subscription>} */
  #all = new Set();

  [Symbol.iterator]() {
    return [...this.#all][Symbol.iterator]();
  }

  /** @param {Subscription} subscription */
  add(subscription) {
    this.#all.add(subscription);
  }

  /** @param {Subscription} subscription */
  remove(subscription) {
    this.#all.delete(subscription);
  }

  /**
   * Find by the params that were asked for, or by canonical ones.
   *
   * @param {string} event
   * @param {string} text the params' text.
   */
  find(event, text) {
    return this.#first((each) => each.matches(event, text));
  }

  /**
   * Find by the mark of the ask that is answered; an older ask's mark finds nothing.
   *
   * @param {unknown} ref
   */
  waitingFor(ref) {
    return this.#first((each) => each.waiting && each.ref === ref);
  }

  /**
   * Find whose stream a shared frame belongs to.
   *
   * @param {string} event
   * @param {string | null} text the canonical params' text.
   */
  settled(event, text) {
    return this.#first((each) => each.event === event && each.canonical === text);
  }

  /**
   * Note under which canonical params the server has accepted a subscription.
   *
   * @param {Subscription} subscription
   * @param {string} text
   * @returns {Subscription | undefined} another one that turns out to be the same; it is removed.
   */
  settle(subscription, text) {
    subscription.canonical = null;
    const other = this.settled(subscription.event, text);
    subscription.canonical = text;
    if (other) {
      this.remove(other);
      subscription.join(other);
    }
    return other;
  }

  /** @param {(subscription: Subscription) => boolean} fits */
  #first(fits) {
    for (const subscription of this.#all) {
      if (fits(subscription)) {
        return subscription;
      }
    }
    return undefined;
  }
}
