/**
 * What the server's messages mean: for the subscriptions, for what we ask next, and for listeners.
 *
 * A private answer to an older ask is thrown away, and so is a shared frame that comes while its
 * subscription is not accepted on this connection: it belongs to an older one.
 *
 * @import {Asks} from "./subscriptions.js"
 * @import {Auth} from "../connection/auth.js"
 * @import {Gate} from "./transaction.js"
 * @import {Data} from "./messages.js"
 * @import {Problem, Subscription} from "./subscription.js"
 */

import { warn } from "./emitter.js";
import { BadFrame, canonical, parse } from "./messages.js";

/** Errors that may pass; all others end the subscription that was asked for. */
const RATE_LIMITED = "rate_limited";
const PASSING = ["unavailable", RATE_LIMITED, "internal"];
const TOO_MANY = "too_many_subscriptions";

export class Answers {
  #asks;
  #auth;
  #book;
  #gate;
  #tell;

  /**
   * @param {Asks} asks
   * @param {Auth} auth
   * @param {Gate} gate
   * @param {(event: string, data: Data) => void} tell hears what listeners are to hear.
   */
  constructor(asks, auth, gate, tell) {
    this.#asks = asks;
    this.#auth = auth;
    this.#book = asks.book;
    this.#gate = gate;
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
      warn(`bad message: ${error.message}`);
    }
  }

  /** @param {{event: string, data: any}} message */
  #take({ event, data }) {
    if (event === "$subscribed") {
      this.#subscribed(data);
    } else if (event === "$error") {
      this.#refused("error", /** @type {Data} */ (data));
    } else if (event === "$auth") {
      this.#auth.take(data);
    } else if (event === "$begin") {
      this.#gate.begin();
    } else if (event === "$commit") {
      this.#gate.commit();
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
      throw new BadFrame("no key");
    }
    const subscription = this.#book.waitingFor(data.ref);
    if (!subscription) {
      return;
    }
    this.#auth.served();
    subscription.accept(data.key);
    this.#asks.expect(subscription);
    const joined = this.#asks.settle(subscription, canonical(data.params));
    if (subscription.fresh && subscription.resumed) {
      this.#asks.startOver(subscription);
    }
    if (joined) {
      this.#gate.touch(subscription);
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
      if (subscription.emitted) {
        this.#tell(event, call);
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
      return subscription.take(data);
    } catch (error) {
      subscription.startOver();
      subscription.fail({ code: "internal", detail: String(error) });
      this.#asks.askLater(subscription);
      throw error;
    } finally {
      this.#gate.touch(subscription);
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
    const left = this.#asks.left(data.ref);
    if (code === RATE_LIMITED) {
      this.#asks.slow(false);
    }
    if (left) {
      this.#notLeft(left, event, data);
    } else if (subscription?.resumed && code === "too_large") {
      this.#asks.startOver(subscription);
    } else if (subscription) {
      this.#settleRefusal(subscription, data.payload);
      if (subscription.emitted) {
        this.#tell(event, data);
      }
    } else {
      this.#book.explain(data);
    }
  }

  /**
   * Take the word that somebody could not be left: what may pass is tried until it is done.
   *
   * @param {Subscription} left
   * @param {string} event
   * @param {Data} data
   */
  #notLeft(left, event, data) {
    if (this.#passes(data.payload.code)) {
      this.#asks.leaveLater(left, data.ref);
    } else if (left.echoes) {
      this.#tell(event, data);
    }
  }

  /**
   * Tell whether a refusal may pass. There is room for more when those that we leave are gone.
   *
   * @param {string} code
   */
  #passes(code) {
    return PASSING.includes(code) || (code === TOO_MANY && this.#asks.isLeaving);
  }

  /**
   * Where the subscription stands on this connection, the contract says that a refusal changes
   * nothing else: its stream goes on.
   *
   * @param {Subscription} subscription
   * @param {Problem} problem
   */
  #settleRefusal(subscription, problem) {
    subscription.waiting = false;
    if (this.#passes(problem.code)) {
      this.#asks.askLater(subscription);
      subscription.fail(problem);
    } else if (subscription.accepted) {
      subscription.fresh = false;
    } else {
      this.#end(subscription, problem);
    }
    this.#gate.touch(subscription);
  }

  /**
   * Let go of what the server does not serve, unless it would later, or with another proof of who
   * we are.
   *
   * @param {Subscription} subscription
   * @param {Problem} problem
   */
  #end(subscription, problem) {
    const later = PASSING.includes(problem.code);
    const passes = later || this.#auth.again(problem.code);
    if (passes) {
      subscription.lost();
      later && this.#asks.askLater(subscription);
    } else {
      subscription.closed = true;
      this.#asks.drop(subscription);
    }
    subscription.fail(problem, !passes);
  }

  /**
   * Take an error that names no message: any of those without an answer may be meant.
   *
   * @param {string} event
   * @param {Data} data
   */
  #refusedUnnamed(event, data) {
    if (data.payload?.code === RATE_LIMITED) {
      this.#asks.slow(true);
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
    const ours = data.ref != null;
    const echoes = this.#isUnsubscribed(data);
    if (echoes || settled?.accepted) {
      const tells = (echoes || !ours) && (settled?.emitted ?? true);
      const why = settled?.explained(data.code);
      if (settled) {
        this.#finish(settled, ours, echoes, why?.payload ?? data);
      }
      if (tells) {
        this.#tellEnd(event, [why, data]);
      }
    }
  }

  /**
   * @param {string} event
   * @param {(Data | null | undefined)[]} told
   */
  #tellEnd(event, told) {
    for (const data of told) {
      data && this.#tell(event, data);
    }
  }

  /**
   * Tell whether an end is what `io.emit` wished for, and no newer ask has made that void. A message
   * that was said again though it has been answered is nobody's wish any more.
   *
   * @param {Data} data
   */
  #isUnsubscribed({ params, ref }) {
    const left = this.#asks.left(ref);
    return left?.echoes && !(Number(this.#book.like(left, canonical(params))?.ref) > Number(ref));
  }

  /**
   * Go on after the end of a stream. When somebody has left whom the server takes for the same as
   * one that is wanted, that one is asked for again.
   *
   * @param {Subscription} subscription
   * @param {boolean} ours whether that was our wish.
   * @param {boolean | undefined} echoes whether it was the wish of whoever holds it by `io.emit`.
   * @param {{code?: string, detail?: string}} problem
   */
  #finish(subscription, ours, echoes, { code = "closed", detail }) {
    if (subscription.waiting) {
      subscription.startOver();
    } else if (ours && (subscription.holders.size > 0 || !echoes)) {
      subscription.emitted &&= !echoes;
      this.#asks.startOver(subscription);
    } else {
      this.#end(subscription, { code, detail });
    }
    this.#gate.touch(subscription);
  }
}
