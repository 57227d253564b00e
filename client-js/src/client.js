/**
 * `io`: what people hold in their hands. Wires the connection, asks, answers and listeners.
 *
 * @import {Environment} from "./connection/environment.js"
 * @import {Ending, Status} from "./connection/connection.js"
 * @import {CollectionError} from "./collection.js"
 * @import {Params} from "./sync/messages.js"
 * @import {Listener} from "./sync/emitter.js"
 * @import {Problem} from "./sync/subscription.js"
 */

import { Collection } from "./collection.js";
import { Auth } from "./connection/auth.js";
import { UNAUTHENTICATED } from "./connection/backoff.js";
import { Connection } from "./connection/connection.js";
import { watchPage } from "./connection/visibility.js";
import { pin } from "./proxies.js";
import { Answers } from "./sync/dispatcher.js";
import { Listeners, warn } from "./sync/emitter.js";
import { hello, isObject, ping } from "./sync/messages.js";
import { failure } from "./sync/subscription.js";
import { Asks } from "./sync/subscriptions.js";
import { Gate } from "./sync/transaction.js";

/**
 * @typedef {object} Wish
 * @property {Params | null} [params] arguments for a binding that takes any.
 * @property {number} [page_size] about how many rows a page of a large answer should have.
 * @property {boolean} [disconnect] unsubscribe.
 *
 * @typedef {object} Initial rows that came by another way, such as an HTTP snapshot.
 * @property {readonly object[]} rows
 * @property {string | null} [cursor] what the header `Bindserver-Cursor` says.
 * @property {string} [key] the name of the row field that holds the key; `id` where left out.
 *
 * @typedef {object} CollectionOptions
 * @property {Initial} [initial]
 * @property {number} [page_size] about how many rows a page of a large answer should have.
 */

const ADVICE =
  'Does bindserver answer there ("manage.py runserver" does not), do proxies pass WebSockets on?';
/** Events of the client's own, and none at all; no binding may have these names. */
const OWN = /^(connect|disconnect|error|status)?$/;

/** Hints that come within so many milliseconds are one: a page tells the same thing in several ways. */
export const ONE_HINT = 250;

export class Client {
  #url;
  #env;
  #listeners = new Listeners();
  #connection;
  #asks;
  #auth;
  #gate;
  #answers;
  /** Whether there has been a collection, so that we want commit marks. */
  #wantsMarks = false;
  #pings = 0;
  /** @type {Status} */
  #toldStatus = "idle";
  /** @type {CollectionError | null} */
  #error = null;
  /** Whether there has been no connection yet, and no word about it. */
  #wonders = true;
  #hintedAt = -ONE_HINT;
  #unwatch = () => {};

  /**
   * @param {string} url
   * @param {Environment} env
   */
  constructor(url, env) {
    this.#url = url;
    this.#env = env;
    const send = (/** @type {string} */ text) => this.#connection.send(text);
    const tell = this.#listeners.tell.bind(this.#listeners);
    this.#asks = new Asks(env, send, (late) => {
      late.fail({ code: "unavailable", detail: "no answer" });
      this.#gate.touch(late);
    });
    this.#gate = new Gate(this.#asks.book, env);
    this.#auth = new Auth(
      env,
      send,
      () => this.#proved(),
      (problem) => this.#unproved(problem),
    );
    this.#answers = new Answers(this.#asks, this.#auth, this.#gate, tell);
    this.#connection = new Connection(url, env, {
      dialed: () => this.#tellStatus(),
      opened: () => this.#opened(),
      heard: (text) => this.#answers.take(text),
      closed: (ending, attempts) => this.#closed(ending, attempts),
      ping: () => this.#ping(),
    });
    pin(this);
  }

  /** @returns {Status} */
  get status() {
    return this.#connection.status;
  }

  /**
   * Why there is no connection, or nothing to be had over it. Null while all is well.
   *
   * @returns {CollectionError | null}
   */
  get error() {
    return this.#error;
  }

  /**
   * Listen to a binding's event, or to `connect`, `disconnect`, `error` or `status`.
   *
   * @param {string} event
   * @param {Listener} fn called with `{action, payload, ...}`; once for each row of a batch.
   */
  on(event, fn) {
    if (typeof fn !== "function") {
      throw new TypeError("bindserver: a listener is a function");
    }
    this.#listeners.add(event, fn);
    return this;
  }

  /**
   * Listen no more. The subscription stays: see `emit` with `disconnect`.
   *
   * @param {string} event
   * @param {Listener} [fn] all of the event's listeners where left out.
   */
  off(event, fn) {
    this.#listeners.remove(event, fn);
    return this;
  }

  /**
   * Subscribe to a binding, or unsubscribe. Without a connection it is remembered for the next one.
   *
   * @param {string} event
   * @param {Wish} [wish]
   * @throws {TypeError} the event or the wish is none.
   */
  emit(event, wish = {}) {
    check(event, wish);
    if (!wish.disconnect) {
      this.#asks.subscribe(event, wish);
      this.#start();
    } else if (this.#asks.unsubscribe(event, wish.params)) {
      this.#listeners.tell(event, { action: "disconnect", params: wish.params });
    }
    return this;
  }

  /**
   * Return a binding's rows, which follow the server's until `close()`. Collections with the same
   * event and params share one subscription, with `emit` too.
   *
   * @template {object} [R=Record<string, any>]
   * @param {string} event
   * @param {Params | null} [params]
   * @param {CollectionOptions} [options]
   * @returns {Collection<R>}
   * @throws {TypeError} the event, the params or the options are none.
   */
  collection(event, params, options = {}) {
    check(event, { ...options, params });
    if (options.initial && !Array.isArray(options.initial.rows)) {
      throw new TypeError("bindserver: initial.rows is a list");
    }
    if (!this.#wantsMarks) {
      this.#wantsMarks = true;
      this.#connection.send(hello());
    }
    const subscription = this.#asks.hold(event, params, options);
    if (this.#error && !subscription.accepted) {
      subscription.blame(this.#error);
      subscription.show();
    }
    /** @type {Collection<any>} */
    const collection = new Collection(subscription, (each) => {
      this.#asks.soon();
      this.#gate.touch(each);
    });
    this.#gate.touch(subscription);
    this.#start();
    return collection;
  }

  /** Connect now: before the first `emit`, or after the connection was closed for good. */
  connect() {
    this.#unwatch();
    this.#unwatch = watchPage(() => this.#hint());
    if (this.status === "closed") {
      this.#error = null;
    }
    this.#connection.start();
    return this;
  }

  /** End the connection. What is subscribed goes on from there after `connect()`. */
  close() {
    this.#connection.close();
    return this;
  }

  #start() {
    if (this.status === "idle") {
      this.connect();
    }
  }

  #hint() {
    const now = this.#env.now();
    if (now - this.#hintedAt >= ONE_HINT) {
      this.#hintedAt = now;
      this.#connection.look();
      this.#auth.look();
      this.#asks.look();
    }
  }

  #opened() {
    this.#wonders = false;
    this.#error = null;
    if (this.#wantsMarks) {
      this.#connection.send(hello());
    }
    this.#auth.opened();
    this.#tellStatus();
    if (this.status === "live") {
      this.#listeners.tell("connect", undefined);
    }
  }

  /**
   * @param {Ending} ending
   * @param {number} attempts
   */
  #closed(ending, attempts) {
    const { code, willReconnect } = ending;
    const problem = this.#problem(ending, attempts);
    this.#error = problem && failure(problem, !willReconnect);
    for (const subscription of this.#asks.book.all) {
      subscription.blame(this.#error);
    }
    this.#auth.closed();
    this.#asks.closed(code);
    if (!willReconnect) {
      this.#unwatch();
    }
    this.#gate.lost();
    this.#tellStatus();
    if (attempts === 0) {
      this.#listeners.tell("disconnect", ending);
    } else if (problem) {
      if (this.#wonders) {
        warn(`${problem.detail}. ${ADVICE}`); // a browser tells nobody why
      }
      this.#wonders = false;
      this.#tellError(problem);
    }
  }

  /** @param {Problem} payload */
  #tellError(payload) {
    this.#listeners.tell("error", { action: "error", payload });
  }

  /**
   * Return why there is no connection now, if that is not our own wish.
   *
   * @param {Ending} ending
   * @param {number} attempts
   * @returns {{code: string, detail: string, attempts?: number} | null}
   */
  #problem({ code, reason, willReconnect }, attempts) {
    if (willReconnect) {
      const what = attempts ? "cannot connect to" : "lost connection to";
      const detail = `${what} ${this.#url.replace(/(\/\/)[^/?]*@|\?.*/g, "$1")}: ${reason || `closed with ${code}`}`;
      return { code: "unreachable", detail, attempts };
    }
    if (code < UNAUTHENTICATED) {
      return null;
    }
    return { code: code === UNAUTHENTICATED ? "unauthenticated" : "forbidden", detail: reason };
  }

  #proved() {
    this.#error = null;
    this.#asks.opened();
  }

  /**
   * Take the word that we could not prove who we are; it will be tried again.
   *
   * @param {Problem} problem
   */
  #unproved(problem) {
    this.#error = failure(problem, false);
    for (const subscription of this.#asks.book.all) {
      if (!subscription.accepted) {
        subscription.fail(problem);
        this.#gate.touch(subscription);
      }
    }
    this.#tellError(problem);
  }

  #tellStatus() {
    if (this.#toldStatus !== this.status) {
      this.#toldStatus = this.status;
      this.#listeners.tell("status", this.status);
    }
  }

  #ping() {
    this.#pings += 1;
    this.#connection.send(ping(this.#pings));
  }
}

/**
 * @param {string} event
 * @param {Wish} wish
 */
function check(event, wish) {
  if (typeof event !== "string" || event.startsWith("$") || OWN.test(event)) {
    throw new TypeError(`bindserver: "${event}" is no binding's event`);
  }
  if (!isObject(wish) || !(wish.params == null || isObject(wish.params))) {
    throw new TypeError("bindserver: params is an object");
  }
  const size = wish.page_size;
  if (size !== undefined && !(Number.isSafeInteger(size) && size > 0)) {
    throw new TypeError("bindserver: page_size is no size");
  }
}
