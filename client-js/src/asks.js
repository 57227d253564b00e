/**
 * What we ask of the server, over one connection after another: each wanted subscription, again on
 * every new connection, and again later where the server could not serve it.
 *
 * Every ask carries a mark of its own, its `ref`, by which its answer is known.
 *
 * @import {Environment} from "./environment.js"
 * @import {Params} from "./messages.js"
 */

import { retryDelay } from "./backoff.js";
import { Book } from "./book.js";
import { canonical, unsubscribe } from "./messages.js";
import { Subscription } from "./subscription.js";

const TOO_BIG = 1009;

export class Asks {
  /** What is wanted. */
  book = new Book();
  /** The unsubscribe messages without an answer: mark and params' text. @type {Map<unknown, string>} */
  leaving = new Map();
  #env;
  #send;
  #newestRef = 0;
  #live = false;

  /**
   * @param {Environment} env
   * @param {(text: string) => void} send
   */
  constructor(env, send) {
    this.#env = env;
    this.#send = send;
  }

  /**
   * Want a subscription; one that is wanted already gets a fresh answer.
   *
   * @param {string} event
   * @param {{params?: Params | null, page_size?: number}} wish
   */
  subscribe(event, { params, page_size }) {
    const known = this.book.find(event, canonical(params));
    const subscription = known ?? new Subscription(event, params);
    subscription.pageSize = page_size ?? subscription.pageSize;
    subscription.fresh = true;
    this.book.add(subscription);
    this.ask(subscription);
  }

  /**
   * Want a subscription no more. One that we do not know may be known to the server by other params.
   *
   * @param {string} event
   * @param {Params | null} [params]
   */
  unsubscribe(event, params) {
    const text = canonical(params);
    const subscription = this.book.find(event, text);
    if (subscription !== undefined) {
      this.drop(subscription);
    }
    if (this.#live) {
      const ref = this.#mark();
      this.leaving.set(ref, text);
      this.#send(unsubscribe(event, { params: JSON.parse(text), ref }));
    }
  }

  /** Take the word that there is a new connection. */
  opened() {
    this.#live = true;
    for (const subscription of this.book) {
      this.ask(subscription);
    }
  }

  /**
   * Take the word that the connection is gone.
   *
   * @param {number} code its close code.
   */
  closed(code) {
    this.#live = false;
    this.leaving.clear();
    for (const subscription of this.book) {
      this.#env.clearTimeout(subscription.retry);
      if (code === TOO_BIG && subscription.waiting && subscription.resumed) {
        subscription.startOver();
      }
      subscription.lost();
    }
  }

  /** @param {Subscription} subscription */
  ask(subscription) {
    this.#env.clearTimeout(subscription.retry);
    if (this.#live) {
      this.#send(subscription.ask(this.#mark()));
    }
  }

  /** @param {Subscription} subscription */
  askLater(subscription) {
    const delay = retryDelay(subscription.failures, this.#env.random);
    subscription.failures += 1;
    this.#env.clearTimeout(subscription.retry);
    subscription.retry = this.#env.setTimeout(() => this.ask(subscription), delay);
  }

  /**
   * Ask for the whole binding, as if we held nothing.
   *
   * @param {Subscription} subscription
   */
  startOver(subscription) {
    subscription.startOver();
    this.ask(subscription);
  }

  /**
   * Note under which params the server has accepted a subscription; an older one may be the same.
   *
   * @param {Subscription} subscription
   */
  settle(subscription) {
    const same = this.book.settle(subscription);
    this.#env.clearTimeout(subscription.retry);
    this.#env.clearTimeout(same?.retry);
  }

  /** @param {Subscription} subscription */
  drop(subscription) {
    this.#env.clearTimeout(subscription.retry);
    this.book.remove(subscription);
  }

  #mark() {
    this.#newestRef += 1;
    return this.#newestRef;
  }
}
