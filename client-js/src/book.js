/**
 * The subscriptions that are wanted, and how to find the one that a message means.
 *
 * @import {Subscription} from "./subscription.js"
 */

export class Book {
  /** @type {Set<Subscription>} */
  #all = new Set();
  /** By event and canonical params: where shared frames go. @type {Map<string, Subscription>} */
  #settled = new Map();

  [Symbol.iterator]() {
    return [...this.#all][Symbol.iterator]();
  }

  /** @param {Subscription} subscription */
  add(subscription) {
    this.#all.add(subscription);
  }

  /** @param {Subscription} subscription */
  has(subscription) {
    return this.#all.has(subscription);
  }

  /** @param {Subscription} subscription */
  remove(subscription) {
    this.#all.delete(subscription);
    this.#unsettle(subscription);
  }

  /**
   * Find by the params that were asked for, or by canonical ones.
   *
   * @param {string} event
   * @param {string} text the params' text.
   */
  find(event, text) {
    return [...this.#all].find((subscription) => subscription.matches(event, text));
  }

  /**
   * Find by the mark of the ask that is answered; an older ask's mark finds nothing.
   *
   * @param {unknown} ref
   */
  waitingFor(ref) {
    return [...this.#all].find((subscription) => subscription.waiting && subscription.ref === ref);
  }

  /**
   * Find whose stream a shared frame belongs to.
   *
   * @param {string} event
   * @param {string} text the canonical params' text.
   */
  settled(event, text) {
    return this.#settled.get(place(event, text));
  }

  /**
   * Note under which canonical params a subscription stands.
   *
   * @param {Subscription} subscription just accepted.
   * @returns {Subscription | undefined} another one that turns out to be the same; it is removed.
   */
  settle(subscription) {
    this.#unsettle(subscription);
    const where = place(subscription.event, subscription.canonical ?? "");
    const other = this.#settled.get(where);
    if (other !== undefined) {
      this.remove(other);
      for (const name of other.names) {
        subscription.names.add(name);
      }
    }
    this.#settled.set(where, subscription);
    return other;
  }

  /** @param {Subscription} subscription */
  #unsettle(subscription) {
    for (const [where, settled] of this.#settled) {
      if (settled === subscription) {
        this.#settled.delete(where);
      }
    }
  }
}

/**
 * @param {string} event
 * @param {string} text
 */
function place(event, text) {
  return `${event} ${text}`;
}
