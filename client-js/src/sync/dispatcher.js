/**
 * What the server's messages mean: for the subscriptions, for what we ask next, and for listeners.
 *
 * A private answer to an older ask is thrown away, and so is a shared frame that comes while its
 * subscription is not accepted on this connection: it belongs to an older one.
 *
 * @import {Subscriptions} from "./subscriptions.js"
 * @import {Auth} from "../connection/auth.js"
 * @import {Transaction} from "./transaction.js"
 * @import {Emitter} from "./emitter.js"
 * @import {Data} from "./messages.js"
 * @import {Problem} from "../errors.js"
 * @import {Subscription} from "./subscription.js"
 */

import { warn } from "./emitter.js";
import { canonical, parse } from "./messages.js";
import { ACCEPTED, ASKED } from "./states.js";

/** Errors that may pass; all others end the subscription that was asked for. */
const RATE_LIMITED = "rate_limited";
const PASSING = ["unavailable", RATE_LIMITED, "internal"];
const TOO_MANY = "too_many_subscriptions";

export class Dispatcher {
  #subscriptions;
  #transaction;
  #emitter;
  #auth;

  /**
   * @param {Subscriptions} subscriptions
   * @param {Transaction} transaction
   * @param {Emitter} emitter
   * @param {Auth} [auth] none where the page's cookie says who asks.
   */
  constructor(subscriptions, transaction, emitter, auth) {
    this.#subscriptions = subscriptions;
    this.#transaction = transaction;
    this.#emitter = emitter;
    this.#auth = auth;
  }

  /**
   * Take a message; one that is none of the contract's is passed over with a warning.
   *
   * @param {string} text
   */
  _take(text) {
    try {
      this.#take(parse(text));
    } catch (error) {
      warn("bad message", error);
    }
  }

  /** @param {{event: string, data: any}} message */
  #take({ event, data }) {
    if (event === "$subscribed") {
      this.#subscribed(data);
    } else if (event === "$error") {
      this.#refused("error", /** @type {Data} */ (data));
    } else if (event === "$auth") {
      this.#auth?._take(data);
    } else if (event === "$begin") {
      this.#transaction._begin();
    } else if (event === "$commit") {
      this.#transaction._commit();
    } else if (event[0] === "$") {
      // an event of the protocol's that we do not know
    } else if (data.action === "error") {
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
      throw new Error("no key");
    }
    const subscription = this.#subscriptions._waitingFor(data.ref);
    if (!subscription) {
      return;
    }
    this.#auth?._accepted();
    if (this.#subscriptions._accepted(subscription, data.key, canonical(data.params))) {
      this.#transaction._touch(subscription);
    }
  }

  /**
   * @param {string} event
   * @param {Data} data
   */
  #shared(event, data) {
    const subscription = this.#subscriptions._settled(event, canonical(data.params));
    if (!subscription?._is(ACCEPTED)) {
      return;
    }
    for (const call of this.#apply(subscription, data)) {
      if (subscription._isEmitted) {
        this.#emitter._tell(event, call);
      }
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
      return subscription._take(data);
    } catch (error) {
      subscription._startOver();
      subscription._store._fail({ code: "internal", detail: String(error) });
      this.#subscriptions._later(subscription);
      throw error;
    } finally {
      this.#transaction._touch(subscription);
    }
  }

  /**
   * Take an error. One that names no message may mean any of those without an answer.
   *
   * @param {string} event
   * @param {Data} data
   */
  #refused(event, data) {
    const isUnnamed = data.ref == null;
    const code = data.payload?.code;
    if (code === RATE_LIMITED) {
      this.#subscriptions._slow(isUnnamed);
    }
    if (isUnnamed) {
      this.#emitter._tell(event, data);
      return;
    }
    const subscription = this.#subscriptions._waitingFor(data.ref);
    const left = this.#subscriptions._left(data.ref);
    if (left) {
      this.#notLeft(left, event, data);
    } else if (subscription?._resumed && code === "too_large") {
      this.#subscriptions._startOver(subscription);
    } else if (subscription) {
      this.#settleRefusal(subscription, data.payload);
      if (subscription._isEmitted) {
        this.#emitter._tell(event, data);
      }
    } else {
      for (const each of this.#subscriptions._all) {
        each._explain(data);
      }
    }
  }

  /**
   * Called when somebody could not be left: what may pass is tried until it is done.
   *
   * @param {Subscription} left
   * @param {string} event
   * @param {Data} data
   */
  #notLeft(left, event, data) {
    if (this.#passes(data.payload.code)) {
      this.#subscriptions._leaveLater(left, data.ref);
    } else if (left._echoes) {
      this.#emitter._tell(event, data);
    }
  }

  /**
   * Return whether a refusal may pass. There is room for more when those that we leave are gone.
   *
   * @param {string} code
   */
  #passes(code) {
    return PASSING.includes(code) || (code === TOO_MANY && this.#subscriptions._isLeaving);
  }

  /**
   * Where the subscription stands on this connection, the contract says that a refusal changes
   * nothing else: its stream goes on.
   *
   * @param {Subscription} subscription
   * @param {Problem} problem
   */
  #settleRefusal(subscription, problem) {
    const passes = this.#passes(problem.code);
    const stands = subscription._refused(passes);
    if (passes) {
      this.#subscriptions._later(subscription);
      subscription._store._fail(problem);
    } else if (!stands) {
      this.#end(subscription, problem);
    }
    this.#transaction._touch(subscription);
  }

  /**
   * Let go of what the server does not serve, unless it would later, or with another proof of who
   * we are.
   *
   * @param {Subscription} subscription
   * @param {Problem} problem
   */
  #end(subscription, problem) {
    const later = this.#passes(problem.code);
    const passes = later || this.#auth?._refused(problem.code);
    subscription._ended(problem, !passes);
    if (later) {
      this.#subscriptions._later(subscription);
    } else if (!passes) {
      this.#subscriptions._remove(subscription);
    }
  }

  /**
   * Called when a subscription has ended, because the server ended it or because we asked.
   *
   * @param {string} event
   * @param {Data} data
   */
  #ended(event, data) {
    const settled = this.#subscriptions._settled(event, canonical(data.params));
    const ours = data.ref != null;
    const echoes = this.#isUnsubscribed(data);
    if (echoes || settled?._is(ACCEPTED)) {
      const tells = (echoes || !ours) && (settled?._isEmitted ?? true);
      const why = settled?._explained(data.code);
      if (settled) {
        this.#finish(settled, ours, echoes, why?.payload ?? data);
      }
      if (tells) {
        why && this.#emitter._tell(event, why);
        this.#emitter._tell(event, data);
      }
    }
  }

  /**
   * Return whether an end is what `io.emit` asked for, and no newer ask has made that void. A message
   * that was said again though it has been answered counts for nothing any more.
   *
   * @param {Data} data
   */
  #isUnsubscribed({ params, ref }) {
    const left = this.#subscriptions._left(ref);
    const newest = left && this.#subscriptions._like(left, canonical(params))?._ref;
    return left?._echoes && (newest ?? 0) < /** @type {number} */ (ref);
  }

  /**
   * Go on after the end of a stream. When somebody has left whom the server takes for the same as
   * one that is wanted, that one is asked for again.
   *
   * @param {Subscription} subscription
   * @param {boolean} ours whether we asked for that.
   * @param {boolean | undefined} echoes whether `io.emit` did.
   * @param {{code?: string, detail?: string}} problem
   */
  #finish(subscription, ours, echoes, { code = "closed", detail }) {
    if (subscription._is(ASKED)) {
      subscription._startOver();
    } else if (ours && (subscription._store._isHeld || !echoes)) {
      echoes && subscription._unsubscribe();
      this.#subscriptions._startOver(subscription);
    } else {
      this.#end(subscription, { code, detail });
    }
    this.#transaction._touch(subscription);
  }
}
