/**
 * What we ask of the server, over one connection after another: each wanted subscription, again on
 * every new connection, and again later where the server could not serve it; and to be let go of
 * what is wanted no more, until the server has answered.
 *
 * Every ask carries a mark of its own, its `ref`, by which its answer is known. What is to be said
 * waits until the code that runs now has ended, and the pace allows it; what has become void
 * meanwhile is never said.
 *
 * @import {CollectionOptions} from "../client.js"
 * @import {Environment} from "../connection/environment.js"
 * @import {Params} from "./messages.js"
 */

import { ANSWER } from "../connection/auth.js";
import { retryDelay } from "../connection/backoff.js";
import { Pace } from "../connection/throttle.js";
import { Timer } from "../connection/timer.js";
import { Book } from "./book.js";
import { canonical } from "./messages.js";
import { Subscription } from "./subscription.js";

const TOO_BIG = 1009;

export class Asks {
  /** What is wanted. */
  book = new Book();
  /** Who has been left, by the mark of the message that has no answer yet. @type {Map<unknown, Subscription>} */
  #leaving = new Map();
  /** Who is to be left. @type {Set<Subscription>} */
  #leaves = new Set();
  /** Who is to be asked for. @type {Set<Subscription>} */
  #due = new Set();
  #env;
  #send;
  #late;
  #pace;
  #newestRef = 0;
  #live = false;
  /** Whether what is to be said is looked at when the code that runs now has ended. */
  #soon = false;

  /**
   * @param {Environment} env
   * @param {(text: string) => void} send
   * @param {(subscription: Subscription) => void} late hears who has waited long for an answer.
   */
  constructor(env, send, late) {
    this.#env = env;
    this.#send = send;
    this.#late = late;
    this.#pace = new Pace(env);
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
   * Say what is due when the code that runs now has ended. What has lost its last holder ends then,
   * unless another one has come, who goes on with the rows that there are.
   */
  soon() {
    if (!this.#soon) {
      this.#soon = true;
      this.#env.queueMicrotask(() => this.#say());
    }
  }

  /**
   * Want a subscription no more, unless collections hold it. Several may be known by its params, as
   * long as the server has not told that they are one. One that we do not know may be known to the
   * server by other params.
   *
   * @param {string} event
   * @param {Params | null} [params]
   * @returns {boolean} whether listeners are to be told now, since no answer of the server's will.
   */
  unsubscribe(event, params) {
    const text = canonical(params);
    const known = this.book.all.filter((each) => each.matches(event, text));
    const emitted = known.filter((each) => each.emitted);
    let echoes = false;
    for (const left of known[0] ? emitted : [new Subscription(event, params)]) {
      left.emitted = false;
      if (left.holders.size === 0) {
        left.echoes = true;
        this.drop(left);
        echoes = this.leave(left, !known[0] || left.ref > 0) || echoes;
      }
    }
    return !echoes;
  }

  /**
   * Have the server let go of a subscription that is wanted no more.
   *
   * @param {Subscription} left
   * @param {boolean} [anyway] though it was not asked for on this connection.
   * @returns {boolean} whether that needs saying.
   */
  leave(left, anyway = left.ref > 0) {
    left.retry?.clear();
    const says = this.#live && anyway;
    if (says) {
      this.#leaves.add(left);
      this.soon();
    }
    return says;
  }

  /** Whether somebody is being left. */
  get isLeaving() {
    return this.#leaves.size + this.#leaving.size > 0;
  }

  /**
   * Take the answer to an unsubscribe message, and return who was left.
   *
   * @param {unknown} ref the message's mark.
   */
  left(ref) {
    const left = this.#leaving.get(ref);
    for (const [mark, each] of this.#leaving) {
      if (each === left) {
        this.#leaving.delete(mark);
        this.#leaves.delete(left);
      }
    }
    return left;
  }

  /**
   * Take the word that we speak too fast, and say again what nobody has answered.
   *
   * @param {boolean} all whether nothing tells which message was refused.
   */
  slow(all) {
    this.#pace.slow();
    if (!all) {
      return;
    }
    for (const left of new Set(this.#leaving.values())) {
      this.leave(left, true); // its older marks stay: it may not be what was refused
    }
    for (const each of this.book.all) {
      each.waiting && this.askLater(each);
    }
  }

  /** Take the word that the server may be asked: for all that it does not serve, or has not yet. */
  opened() {
    this.#live = true;
    for (const subscription of this.book.all) {
      if (!subscription.accepted && !subscription.waiting) {
        this.ask(subscription);
      }
    }
    this.#say();
  }

  /**
   * Take the word that the connection is gone.
   *
   * @param {number} code its close code.
   */
  closed(code) {
    this.#live = false;
    this.#pace.start();
    this.#due.clear();
    this.#leaves.clear();
    for (const left of this.#leaving.values()) {
      left.retry?.clear();
    }
    this.#leaving.clear();
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
      this.#due.add(subscription);
      this.soon();
    }
  }

  /** End what nobody holds. */
  #letGo() {
    for (const each of this.book.all) {
      if (!each.emitted && each.holders.size === 0) {
        this.drop(each);
        this.leave(each);
      }
    }
  }

  /** Say what is due, as far as the pace allows: who leaves makes room for who comes. */
  #say() {
    this.#letGo();
    this.#soon = false;
    const leaves = [...this.#leaves].filter((left) => !this.#isWanted(left));
    for (const each of [...leaves, ...this.#due]) {
      if (!this.#pace.take(() => this.#say())) {
        return;
      }
      this.#newestRef += 1;
      if (this.#leaves.delete(each)) {
        this.#leaving.set(this.#newestRef, each);
        this.#send(each.leave(this.#newestRef));
      } else {
        this.#due.delete(each);
        this.#send(each.ask(this.#newestRef));
        this.expect(each);
      }
    }
  }

  /**
   * Tell whether what was to be left is wanted again. It need not be left when that has been said.
   *
   * @param {Subscription} left
   */
  #isWanted(left) {
    const wanted = this.book.like(left, left.canonical);
    if (wanted?.ref) {
      this.#leaves.delete(left);
    }
    return wanted !== undefined;
  }

  /** Take the hint that another ask may fare better now: one that waits is not waited for. */
  look() {
    for (const each of this.book.all) {
      if (each.error && each.retry?.isSet && !each.waiting) {
        this.ask(each);
      }
    }
  }

  /**
   * Wait for an answer, or for the rows that follow it.
   *
   * @param {Subscription} each
   */
  expect(each) {
    const waits = () => each.waiting || !each.replica?.live;
    this.#wait(each, () => waits() && this.#late(each), ANSWER);
  }

  /** @param {Subscription} subscription */
  askLater(subscription) {
    this.#later(subscription, () => this.ask(subscription));
  }

  /**
   * @param {Subscription} left
   * @param {unknown} ref the mark of the message that was refused.
   */
  leaveLater(left, ref) {
    this.#leaving.set(ref, left);
    this.#later(left, () => {
      this.#leaving.delete(ref);
      this.leave(left, true);
    });
  }

  /**
   * @param {Subscription} subscription
   * @param {() => void} fn
   */
  #later(subscription, fn) {
    this.#wait(subscription, fn, retryDelay(subscription.failures, this.#env.random));
    subscription.failures += 1;
  }

  /**
   * @param {Subscription} subscription
   * @param {() => void} fn
   * @param {number} delay
   */
  #wait(subscription, fn, delay) {
    subscription.retry ??= new Timer(this.#env);
    subscription.retry.set(fn, delay);
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
    this.#due.delete(subscription);
    this.book.remove(subscription);
  }

  /**
   * Note under which canonical params the server has accepted a subscription. Another one may turn
   * out to be the same, and is one with it from now on.
   *
   * @param {Subscription} subscription
   * @param {string} text the canonical params' text.
   * @returns {boolean} whether there was one.
   */
  settle(subscription, text) {
    subscription.canonical = null;
    const other = this.book.settled(subscription.event, text);
    subscription.canonical = text;
    if (other) {
      this.drop(other);
      subscription.join(other);
    }
    return other !== undefined;
  }
}
