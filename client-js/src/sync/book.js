/**
 * The subscriptions that are wanted, and how to find the one that a message means.
 *
 * @import {Data} from "./messages.js"
 * @import {Subscription} from "./subscription.js"
 */

export class Book {
  /** A new list for each change: whoever goes through it is not disturbed. @type {Subscription[]} */
  all = [];

  /** @param {Subscription} subscription */
  add(subscription) {
    this.remove(subscription);
    this.all.push(subscription);
  }

  /** @param {Subscription} subscription */
  remove(subscription) {
    this.all = this.all.filter((each) => each !== subscription);
  }

  /**
   * Find by the params that were asked for, or by canonical ones.
   *
   * @param {string} event
   * @param {string} text the params' text.
   */
  find(event, text) {
    return this.all.find((each) => each.matches(event, text));
  }

  /**
   * Find by the mark of the ask that is answered; an older ask's mark finds nothing.
   *
   * @param {unknown} ref
   */
  waitingFor(ref) {
    return this.all.find((each) => each.waiting && each.ref === ref);
  }

  /**
   * Keep the word of why a stream fails that has been accepted; its end follows, if it is true.
   *
   * @param {Data} data
   */
  explain(data) {
    const standing = this.all.find((each) => each.accepted && each.ref === data.ref);
    if (standing) {
      standing.why = data;
    }
  }

  /**
   * Find whose stream a shared frame belongs to.
   *
   * @param {string} event
   * @param {string | null} text the canonical params' text.
   */
  settled(event, text) {
    return this.all.find((each) => each.event === event && each.canonical === text);
  }

  /**
   * Find another one that is for the same, by any of the texts that its params are known by.
   *
   * @param {Subscription} subscription
   * @param {string | null} text its canonical params' text.
   */
  like({ event, names }, text) {
    return this.all.find((each) => [...names, text].some((one) => each.matches(event, one)));
  }
}
