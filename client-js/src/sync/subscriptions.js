/**
 * The subscriptions that are wanted, how to find the one that a message means, and what we ask of the
 * server over one connection after another: each of them, again on every new connection, and again
 * later where the server could not serve it; and to be let go of what is wanted no more, until the
 * server has answered.
 *
 * Every ask carries a mark of its own, its `ref`, by which its answer is known. What is to be said
 * waits until the code that runs now has ended, and the throttle allows it; what has become void
 * meanwhile is never said.
 *
 * @import {CollectionOptions} from "../client.js"
 * @import {CollectionError} from "../collection.js"
 * @import {Environment} from "../connection/environment.js"
 * @import {Params} from "./messages.js"
 */

import { Throttle } from "../connection/throttle.js";
import { canonical } from "./messages.js";
import { ACCEPTED, ASKED } from "./states.js";
import { Subscription } from "./subscription.js";

const TOO_BIG = 1009;

export class Subscriptions {
  /** A new list for each change: whoever goes through it is not disturbed. @type {Subscription[]} */
  _all = [];
  /** Who has been left, by the mark of the message that has no answer yet. @type {Map<unknown, Subscription>} */
  #leaving = new Map();
  /** Who is to be left. @type {Set<Subscription>} */
  #leaves = new Set();
  /** Who is to be asked for. @type {Set<Subscription>} */
  #due = new Set();
  #env;
  #send;
  #late;
  #throttle;
  #newestRef = 0;
  #live = false;

  /**
   * @param {Environment} env
   * @param {(text: string) => void} send
   * @param {(subscription: Subscription) => void} late hears who has waited long for an answer.
   */
  constructor(env, send, late) {
    this.#env = env;
    this.#send = send;
    this.#late = late;
    this.#throttle = new Throttle(env);
  }

  /**
   * Find the one whose newest ask is answered; an older ask's mark finds nothing.
   *
   * @param {unknown} ref the ask's mark.
   */
  _waitingFor(ref) {
    return this._all.find((each) => each._is(ASKED) && each._ref === ref);
  }

  /**
   * Find whose stream a shared frame belongs to.
   *
   * @param {string} event
   * @param {string | null} text the canonical params' text.
   */
  _settled(event, text) {
    return this._all.find((each) => each._topic._isSettledAs(event, text));
  }

  /**
   * Find the one that is for the same as one that is left.
   *
   * @param {Subscription} left
   * @param {string} [text] its canonical params' text.
   */
  _like(left, text) {
    return this._all.find((each) => each._topic._isLike(left._topic, text));
  }

  /**
   * Want a subscription; one that is wanted already gets a fresh answer.
   *
   * @param {string} event
   * @param {{params?: Params | null, page_size?: number}} options
   */
  _subscribe(event, { params, page_size }) {
    const subscription = this._hold(event, params, { page_size });
    subscription._subscribe(page_size);
    this.#add(subscription);
  }

  /**
   * Return the subscription that a collection is to hold; a new one is asked for.
   *
   * @param {string} event
   * @param {Params | null | undefined} params
   * @param {CollectionOptions} options
   */
  _hold(event, params, { page_size, initial }) {
    const text = canonical(params);
    const known = this._all.find((each) => each._topic._matches(event, text));
    const subscription = known ?? new Subscription(this.#env, event, params, page_size);
    if (!known) {
      initial && subscription._seed(initial);
      this.#add(subscription);
    }
    return subscription;
  }

  /** @param {Subscription} subscription */
  #add(subscription) {
    this.#forget(subscription);
    this._all.push(subscription);
    this.#ask(subscription);
  }

  /** @param {Subscription} subscription */
  #forget(subscription) {
    this._all = this._all.filter((each) => each !== subscription);
  }

  /**
   * Say what is due when the code that runs now has ended. What has lost its last holder ends then,
   * unless another one has come, who goes on with the rows that there are.
   */
  _soon() {
    this.#env.queueMicrotask(() => this.#say());
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
  _unsubscribe(event, params) {
    const text = canonical(params);
    const known = this._all.filter((each) => each._topic._matches(event, text));
    const emitted = known.filter((each) => each._isEmitted);
    let echoes = false;
    for (const left of known[0] ? emitted : [new Subscription(this.#env, event, params)]) {
      if (left._unsubscribe()) {
        this._remove(left);
        echoes = this.#leave(left, !known[0]) || echoes;
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
  #leave(left, anyway = false) {
    left._timer._clear();
    const says = this.#live && (anyway || left._ref > 0);
    if (says) {
      this.#leaves.add(left);
      this._soon();
    }
    return says;
  }

  /** Whether somebody is being left. */
  get _isLeaving() {
    return this.#leaves.size + this.#leaving.size > 0;
  }

  /**
   * Take the answer to an unsubscribe message, and return who was left.
   *
   * @param {unknown} ref the message's mark.
   */
  _left(ref) {
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
   * Called when we speak too fast: say again what nobody has answered.
   *
   * @param {boolean} all whether nothing tells which message was refused.
   */
  _slow(all) {
    this.#throttle._slow();
    if (!all) {
      return;
    }
    for (const left of new Set(this.#leaving.values())) {
      this.#leave(left, true); // its older marks stay: it may not be what was refused
    }
    for (const each of this._all) {
      each._is(ASKED) && this._later(each);
    }
  }

  /** Called when the server may be asked: for all that it does not serve, or has not yet. */
  _opened() {
    this.#live = true;
    for (const subscription of this._all) {
      if (!subscription._is(ACCEPTED) && !subscription._is(ASKED)) {
        this.#ask(subscription);
      }
    }
    this.#say();
  }

  /**
   * Called when the connection is gone.
   *
   * @param {number} code its close code.
   * @param {CollectionError | null} error what that means for who waits.
   */
  _closed(code, error) {
    this.#live = false;
    this.#throttle._start();
    this.#due.clear();
    this.#leaves.clear();
    for (const left of this.#leaving.values()) {
      left._timer._clear();
    }
    this.#leaving.clear();
    for (const subscription of this._all) {
      subscription._timer._clear();
      subscription._lost(code === TOO_BIG);
      subscription._store._blame(error);
    }
  }

  /** @param {Subscription} subscription */
  #ask(subscription) {
    subscription._timer._clear();
    if (this.#live) {
      this.#due.add(subscription);
      this._soon();
    }
  }

  /**
   * End what nobody holds, and say what is due, as far as the throttle allows: who leaves makes room
   * for who comes.
   */
  #say() {
    for (const each of this._all) {
      if (!each._isWanted) {
        this._remove(each);
        this.#leave(each);
      }
    }
    const leaves = [...this.#leaves].filter((left) => !this.#wantedAgain(left));
    for (const each of [...leaves, ...this.#due]) {
      if (!this.#throttle._take(() => this.#say())) {
        return;
      }
      const ref = ++this.#newestRef;
      if (this.#leaves.delete(each)) {
        this.#leaving.set(ref, each);
        this.#send(each._leave(ref));
      } else {
        this.#due.delete(each);
        this.#send(each._ask(ref));
        each._expect(this.#late);
      }
    }
  }

  /**
   * Return who is wanted again of what was to be left. It need not be left when that has been said.
   *
   * @param {Subscription} left
   */
  #wantedAgain(left) {
    const wanted = this._like(left);
    if (wanted?._ref) {
      this.#leaves.delete(left);
    }
    return wanted;
  }

  /** Called when another ask may fare better now: one that waits is not waited for. */
  _look() {
    for (const each of this._all) {
      if (each._isDelayed) {
        this.#ask(each);
      }
    }
  }

  /** @param {Subscription} subscription */
  _later(subscription) {
    subscription._timer._later(() => this.#ask(subscription));
  }

  /**
   * @param {Subscription} left
   * @param {unknown} ref the mark of the message that was refused.
   */
  _leaveLater(left, ref) {
    this.#leaving.set(ref, left);
    left._timer._later(() => {
      this.#leaving.delete(ref);
      this.#leave(left, true);
    });
  }

  /**
   * Ask for the whole binding, as if we held nothing.
   *
   * @param {Subscription} subscription
   */
  _startOver(subscription) {
    subscription._startOver();
    this.#ask(subscription);
  }

  /** @param {Subscription} subscription */
  _remove(subscription) {
    subscription._timer._clear();
    this.#due.delete(subscription);
    this.#forget(subscription);
  }

  /**
   * Called when the server has accepted a subscription. Another one may turn out to be the same, and
   * is one with it from now on. Where a state was named that the server does not know by this key, it
   * is asked for again.
   *
   * @param {Subscription} subscription
   * @param {string} key the name of the row field that holds the key.
   * @param {string} text the canonical params' text.
   * @returns {boolean | undefined} whether there was another one.
   */
  _accepted(subscription, key, text) {
    const other = this._settled(subscription._topic._event, text);
    const joins = other && other !== subscription;
    subscription._accepted(key, text);
    subscription._expect(this.#late);
    if (joins) {
      this._remove(other);
      subscription._join(other);
    }
    if (subscription._isMistaken) {
      this._startOver(subscription);
    }
    return joins;
  }
}
