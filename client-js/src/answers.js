/**
 * What the server's messages mean: for the subscriptions, for what we ask next, and for listeners.
 *
 * A private answer to an older ask is thrown away, and so is a shared frame that comes while its
 * subscription is not accepted on this connection: it belongs to an older one.
 *
 * @import {Asks} from "./asks.js"
 * @import {Data} from "./messages.js"
 * @import {Subscription} from "./subscription.js"
 */

import { warn } from "./listeners.js";
import { BadFrame, canonical, isObject, parse } from "./messages.js";

/** Errors that may pass; all others end the subscription that was asked for. */
const PASSING = new Set(["unavailable", "rate_limited", "internal"]);

export class Answers {
  #asks;
  #book;
  #tell;

  /**
   * @param {Asks} asks
   * @param {(event: string, data: Data) => void} tell hears what listeners are to hear.
   */
  constructor(asks, tell) {
    this.#asks = asks;
    this.#book = asks.book;
    this.#tell = tell;
  }

  /**
   * Take a message; one that is none of the contract's is passed over with a warning.
   *
   * @param {string} text
   */
  take(text) {
    try {
      this.#take(parse(text));
    } catch (error) {
      if (!(error instanceof BadFrame)) {
        throw error;
      }
      warn(error.message);
    }
  }

  /** @param {{event: string, data: any}} message */
  #take({ event, data }) {
    if (event === "$subscribed" && isObject(data)) {
      this.#subscribed(data);
    } else if (event === "$error" && isObject(data)) {
      this.#refused("error", /** @type {Data} */ (data));
    } else if (!event.startsWith("$")) {
      this.#frame(event, data);
    }
  }

  /**
   * @param {string} event
   * @param {Data} data
   */
  #frame(event, data) {
    if (data.action === "error") {
      this.#refused(event, data);
    } else if (data.action === "disconnect") {
      this.#ended(event, data);
    } else {
      this.#shared(event, data);
    }
  }

  /** @param {Record<string, any>} data */
  #subscribed(data) {
    if (typeof data.key !== "string") {
      throw new BadFrame("an acceptance names no key");
    }
    const subscription = this.#book.waitingFor(data.ref);
    if (subscription === undefined) {
      return;
    }
    subscription.accept(canonical(data.params), data.key);
    this.#asks.settle(subscription);
    if (subscription.fresh && subscription.resumed) {
      this.#asks.startOver(subscription);
    }
  }

  /**
   * @param {string} event
   * @param {Data} data
   */
  #shared(event, data) {
    const subscription = this.#book.settled(event, canonical(data.params));
    if (!subscription?.accepted) {
      return;
    }
    for (const call of this.#apply(subscription, data)) {
      if (!this.#book.has(subscription)) {
        return;
      }
      this.#tell(event, call);
    }
  }

  /**
   * Apply a frame. One that makes no sense leaves a gap, which only a whole sync closes.
   *
   * @param {Subscription} subscription
   * @param {Data} data
   */
  #apply(subscription, data) {
    try {
      return subscription.take(data);
    } catch (error) {
      subscription.startOver();
      this.#asks.askLater(subscription);
      throw error;
    }
  }

  /**
   * @param {string} event
   * @param {Data} data
   */
  #refused(event, data) {
    const code = data.payload?.code;
    if (data.ref == null) {
      this.#refusedUnnamed(event, data);
      return;
    }
    const subscription = this.#book.waitingFor(data.ref);
    if (this.#asks.leaving.delete(data.ref)) {
      this.#tell(event, data);
    } else if (subscription?.resumed && code === "too_large") {
      this.#asks.startOver(subscription);
    } else if (subscription !== undefined) {
      this.#settleRefusal(subscription, code);
      this.#tell(event, data);
    }
  }

  /**
   * Where the subscription stands on this connection, the contract says that a refusal changes
   * nothing else: its stream goes on.
   *
   * @param {Subscription} subscription
   * @param {string} code
   */
  #settleRefusal(subscription, code) {
    subscription.waiting = false;
    if (PASSING.has(code)) {
      this.#asks.askLater(subscription);
    } else if (subscription.accepted) {
      subscription.fresh = false;
    } else {
      this.#asks.drop(subscription);
    }
  }

  /**
   * Take an error that names no ask: any of those without an answer may be meant.
   *
   * @param {string} event
   * @param {Data} data
   */
  #refusedUnnamed(event, data) {
    if (data.payload?.code === "rate_limited") {
      for (const subscription of this.#book) {
        if (subscription.waiting) {
          this.#asks.askLater(subscription);
        }
      }
    }
    this.#tell(event, data);
  }

  /**
   * Take the word that a subscription has ended: at the server's wish, or at ours.
   *
   * @param {string} event
   * @param {Data} data
   */
  #ended(event, data) {
    const settled = this.#book.settled(event, canonical(data.params));
    if (data.ref != null ? this.#leaves(event, data) : settled?.accepted) {
      this.#finish(settled);
      this.#tell(event, data);
    }
  }

  /**
   * Tell whether this answers an unsubscribe message that no newer ask has made void.
   *
   * @param {string} event
   * @param {Data} data
   */
  #leaves(event, data) {
    const text = this.#asks.leaving.get(data.ref);
    this.#asks.leaving.delete(data.ref);
    if (text === undefined) {
      return false;
    }
    const wanted = this.#book.find(event, text) ?? this.#book.find(event, canonical(data.params));
    return wanted === undefined || wanted.ref < Number(data.ref);
  }

  /** @param {Subscription | undefined} subscription */
  #finish(subscription) {
    if (subscription?.waiting) {
      subscription.startOver();
    } else if (subscription !== undefined) {
      this.#asks.drop(subscription);
    }
  }
}
