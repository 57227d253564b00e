/**
 * What is said to the server and what its answers mean, over one connection after another.
 *
 * Every ask carries a mark, its `ref`. A private answer with an older mark is thrown away, and so
 * is a shared frame that comes while its subscription is not accepted on this connection.
 *
 * @import {Environment} from "./environment.js"
 * @import {Data, Params} from "./messages.js"
 */

import { retryDelay } from "./backoff.js";
import { Book } from "./book.js";
import { warn } from "./listeners.js";
import { BadFrame, canonical, isObject, parse, unsubscribe } from "./messages.js";
import { Subscription } from "./subscription.js";

/** Errors that may pass; all others end the subscription that was asked for. */
const PASSING = new Set(["unavailable", "rate_limited", "internal"]);
const TOO_BIG = 1009;

export class Conversation {
  #env;
  #send;
  #tell;
  #book = new Book();
  /** The marks of unsubscribe messages without an answer. @type {Set<unknown>} */
  #leaving = new Set();
  #newestRef = 0;
  #live = false;

  /**
   * @param {Environment} env
   * @param {(text: string) => void} send
   * @param {(event: string, data: Data) => void} tell hears what listeners are to hear.
   */
  constructor(env, send, tell) {
    this.#env = env;
    this.#send = send;
    this.#tell = tell;
  }

  /**
   * Want a subscription; one that is wanted already gets a fresh answer.
   *
   * @param {string} event
   * @param {{params?: Params | null, page_size?: number}} wish
   */
  subscribe(event, { params, page_size }) {
    const known = this.#book.find(event, canonical(params));
    const subscription = known ?? new Subscription(event, params);
    subscription.pageSize = page_size ?? subscription.pageSize;
    subscription.fresh = true;
    this.#book.add(subscription);
    this.#ask(subscription);
  }

  /**
   * Want a subscription no more.
   *
   * @param {string} event
   * @param {Params | null} [params]
   */
  unsubscribe(event, params) {
    const text = canonical(params);
    const subscription = this.#book.find(event, text);
    if (subscription !== undefined) {
      this.#drop(subscription);
    }
    if (this.#live) {
      const ref = this.#mark();
      this.#leaving.add(ref);
      this.#send(unsubscribe(event, { params: JSON.parse(text), ref }));
    }
  }

  /** Take the word that there is a new connection. */
  opened() {
    this.#live = true;
    for (const subscription of this.#book) {
      this.#ask(subscription);
    }
  }

  /**
   * Take the word that the connection is gone.
   *
   * @param {number} code its close code.
   */
  closed(code) {
    this.#live = false;
    this.#leaving.clear();
    for (const subscription of this.#book) {
      this.#env.clearTimeout(subscription.retry);
      if (code === TOO_BIG && subscription.waiting && subscription.resumed) {
        subscription.startOver();
      }
      subscription.lost();
    }
  }

  /**
   * Take a message of the server's.
   *
   * @param {string} text
   */
  receive(text) {
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
    if (event === "$subscribed") {
      this.#subscribed(data);
    } else if (event === "$error") {
      this.#refused("error", data);
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

  /** @param {any} data */
  #subscribed(data) {
    if (!isObject(data) || typeof data.key !== "string") {
      throw new BadFrame("an acceptance names no key");
    }
    const subscription = this.#book.waitingFor(data.ref);
    if (subscription === undefined) {
      return;
    }
    subscription.accept(canonical(data.params), data.key);
    const other = this.#book.settle(subscription);
    this.#env.clearTimeout(other?.retry);
    if (subscription.fresh && subscription.resumed) {
      this.#startOver(subscription);
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
      this.#askLater(subscription);
      throw error;
    }
  }

  /**
   * Take an error. Where the subscription stands on this connection, the contract says that
   * nothing else changed: its stream goes on.
   *
   * @param {string} event
   * @param {Data} data
   */
  #refused(event, data) {
    const code = data?.payload?.code;
    if (data?.ref === undefined) {
      this.#refusedUnnamed(event, data);
      return;
    }
    const subscription = this.#book.waitingFor(data.ref);
    if (this.#leaving.delete(data.ref)) {
      this.#tell(event, data);
    } else if (subscription?.resumed && code === "too_large") {
      this.#startOver(subscription);
    } else if (subscription !== undefined) {
      this.#settleRefusal(subscription, code);
      this.#tell(event, data);
    }
  }

  /**
   * @param {Subscription} subscription
   * @param {string} code
   */
  #settleRefusal(subscription, code) {
    subscription.waiting = false;
    if (PASSING.has(code)) {
      this.#askLater(subscription);
    } else if (subscription.accepted) {
      subscription.fresh = false;
    } else {
      this.#drop(subscription);
    }
  }

  /**
   * Take an error that names no ask: any of those without an answer may be meant.
   *
   * @param {string} event
   * @param {Data} data
   */
  #refusedUnnamed(event, data) {
    const waiting = [...this.#book].filter((subscription) => subscription.waiting);
    if (data?.payload?.code === "rate_limited") {
      waiting.forEach((subscription) => {
        this.#askLater(subscription);
      });
    }
    this.#tell(event, data);
  }

  /**
   * Take the word that a subscription has ended: at our wish, which a newer ask outlives, or at
   * the server's.
   *
   * @param {string} event
   * @param {Data} data
   */
  #ended(event, data) {
    const text = canonical(data.params);
    const settled = this.#book.settled(event, text);
    if (data.ref !== undefined) {
      const subscription = this.#book.find(event, text);
      const newer = subscription !== undefined && subscription.ref > data.ref;
      if (this.#leaving.delete(data.ref) && !newer) {
        this.#finish(settled);
        this.#tell(event, data);
      }
    } else if (settled?.accepted) {
      this.#finish(settled);
      this.#tell(event, data);
    }
  }

  /** @param {Subscription | undefined} subscription */
  #finish(subscription) {
    if (subscription?.waiting) {
      subscription.startOver();
    } else if (subscription !== undefined) {
      this.#drop(subscription);
    }
  }

  /** @param {Subscription} subscription */
  #drop(subscription) {
    this.#env.clearTimeout(subscription.retry);
    this.#book.remove(subscription);
  }

  /** @param {Subscription} subscription */
  #startOver(subscription) {
    subscription.startOver();
    this.#ask(subscription);
  }

  /** @param {Subscription} subscription */
  #ask(subscription) {
    this.#env.clearTimeout(subscription.retry);
    if (this.#live) {
      this.#send(subscription.ask(this.#mark()));
    }
  }

  /** @param {Subscription} subscription */
  #askLater(subscription) {
    const delay = retryDelay(subscription.failures, this.#env.random);
    subscription.failures += 1;
    this.#env.clearTimeout(subscription.retry);
    subscription.retry = this.#env.setTimeout(() => this.#ask(subscription), delay);
  }

  #mark() {
    this.#newestRef += 1;
    return this.#newestRef;
  }
}
