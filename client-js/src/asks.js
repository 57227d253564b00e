/**
 * What we ask of the server, over one connection after another: each wanted subscription, again on
 * every new connection, and again later where the server could not serve it.
 *
 * Every ask carries a mark of its own, its `ref`, by which its answer is known.
 *
 * @import {CollectionOptions} from "./client.js"
 * @import {Environment} from "./environment.js"
 * @import {Params} from "./messages.js"
 */

import { retryDelay } from "./backoff.js";
import { Book } from "./book.js";
import { ask, canonical } from "./messages.js";
import { Subscription } from "./subscription.js";
import { Timer } from "./timer.js";

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
    subscription.emitted = true;
    subscription.fresh = true;
    this.book.add(subscription);
    this.ask(subscription);
  }

  /**
   * Return the subscription that a collection is to hold; a new one is asked for.
   *
   * @param {string} event
   * @param {Params | null | undefined} params
   * @param {CollectionOptions} options
   */
  hold(event, params, { page_size, initial }) {
    const known = this.book.find(event, canonical(params));
    if (known) {
      return known;
    }
    const subscription = new Subscription(event, params);
    subscription.pageSize = page_size;
    if (initial) {
      subscription.seed(initial.rows, initial.cursor, initial.key);
    }
    this.book.add(subscription);
    this.ask(subscription);
    return subscription;
  }

  /**
   * Take the word that a subscription has lost a holder: without any, it ends.
   *
   * @param {Subscription} subscription
   */
  release(subscription) {
    if (!(subscription.emitted || subscription.closed || subscription.holders.size > 0)) {
      this.drop(subscription);
      if (this.#live) {
        this.#leave(subscription.event, subscription.params);
      }
    }
  }

  /**
   * Want a subscription no more, unless collections hold it. One that we do not know may be known to
   * the server by other params.
   *
   * @param {string} event
   * @param {Params | null} [params]
   * @returns {boolean} whether collections hold it, so that the server is not told.
   */
  unsubscribe(event, params) {
    const text = canonical(params);
    const subscription = this.book.find(event, text);
    if (subscription) {
      subscription.emitted = false;
      if (subscription.holders.size > 0) {
        return true;
      }
      this.drop(subscription);
    }
    if (this.#live) {
      this.leaving.set(this.#leave(event, JSON.parse(text)), text);
    }
    return false;
  }

  /**
   * @param {string} event
   * @param {Params} params
   */
  #leave(event, params) {
    const ref = this.#mark();
    this.#send(ask(event, { disconnect: true, params, ref }));
    return ref;
  }

  /** Take the word that the server may be asked: for all that it does not serve, or has not yet. */
  opened() {
    this.#live = true;
    for (const subscription of this.book.all) {
      if (!subscription.accepted && !subscription.waiting) {
        this.ask(subscription);
      }
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
    for (const subscription of this.book.all) {
      subscription.retry?.clear();
      if (code === TOO_BIG && subscription.waiting && subscription.resumed) {
        subscription.startOver();
      }
      subscription.lost();
    }
  }

  /** @param {Subscription} subscription */
  ask(subscription) {
    subscription.retry?.clear();
    if (this.#live) {
      this.#send(subscription.ask(this.#mark()));
    }
  }

  /** @param {Subscription} subscription */
  askLater(subscription) {
    const delay = retryDelay(subscription.failures, this.#env.random);
    subscription.failures += 1;
    subscription.retry ??= new Timer(this.#env);
    subscription.retry.set(() => this.ask(subscription), delay);
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

  /** @param {Subscription} subscription */
  drop(subscription) {
    subscription.retry?.clear();
    this.book.remove(subscription);
  }

  #mark() {
    this.#newestRef += 1;
    return this.#newestRef;
  }
}
