/**
 * `io`: what people hold in their hands. Wires the connection, the subscriptions, the dispatcher of
 * what the server says, and the emitter.
 *
 * @import {Auth} from "./connection/auth.js"
 * @import {Environment} from "./connection/environment.js"
 * @import {Ending, Status} from "./connection/connection.js"
 * @import {CollectionError} from "./collection.js"
 * @import {Params} from "./sync/messages.js"
 * @import {Listener} from "./sync/emitter.js"
 */

import { Collection } from "./collection.js";
import { UNAUTHENTICATED } from "./connection/backoff.js";
import { Connection } from "./connection/connection.js";
import { watchPage } from "./connection/visibility.js";
import { failure, misused } from "./errors.js";
import { bindMembers } from "./proxies.js";
import { Dispatcher } from "./sync/dispatcher.js";
import { Emitter, warn } from "./sync/emitter.js";
import { hello, isObject, ping } from "./sync/messages.js";
import { ACCEPTED } from "./sync/states.js";
import { Subscriptions } from "./sync/subscriptions.js";
import { Transaction } from "./sync/transaction.js";

/**
 * @typedef {object} EmitOptions
 * @property {Params | null} [params] arguments for a binding that takes any.
 * @property {number} [page_size] about how many rows a page of a large answer should have.
 * @property {boolean} [disconnect] unsubscribe.
 *
 * @typedef {object} Initial rows that came by another way, such as an HTTP snapshot.
 * @property {readonly Record<string, any>[]} rows
 * @property {string | null} [cursor] what the header `Bindserver-Cursor` says.
 * @property {string} [key] the name of the row field that holds the key; `id` where left out.
 *
 * @typedef {object} CollectionOptions
 * @property {Initial} [initial]
 * @property {number} [page_size] about how many rows a page of a large answer should have.
 */

const ADVICE = 'Does it run bindserver (no "runserver"), and its proxies pass WebSockets?';
/** Events of the protocol's and the client's own, and none at all; no binding may have these names. */
const OWN = /^\$|^(connect|disconnect|error|status)?$/;

/** Hints that come within so many milliseconds are one: a page tells the same thing in several ways. */
export const ONE_HINT = 250;

export class Client {
  #env;
  #url;
  #emitter = new Emitter();
  #connection;
  #subscriptions;
  #auth;
  #transaction;
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
   * @param {typeof Auth} [Prover] proves who we are; left out where the page's cookie does.
   */
  constructor(url, env, Prover) {
    this.#url = url;
    this.#env = env;
    const send = (/** @type {string} */ text) => this.#connection._send(text);
    const emitter = this.#emitter;
    const subscriptions = new Subscriptions(env, send, (late) => {
      late._store._fail({ code: "unavailable", detail: "no answer" });
      transaction._touch(late);
    });
    const transaction = new Transaction(subscriptions, env);
    this.#subscriptions = subscriptions;
    this.#transaction = transaction;
    this.#auth =
      Prover &&
      new Prover(env, send, subscriptions, transaction, emitter, (error) => {
        this.#error = error;
      });
    const dispatcher = new Dispatcher(subscriptions, transaction, emitter, this.#auth);
    this.#connection = new Connection(url, env, {
      _opened: () => this.#opened(),
      _heard: (text) => dispatcher._take(text),
      _closed: (ending, attempts) => this.#closed(ending, attempts),
      _ping: () => send(ping(++this.#pings)),
    });
    bindMembers(this);
  }

  /** @returns {Status} */
  get status() {
    return this.#connection._status;
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
      misused("a listener is a function");
    }
    this.#emitter._add(event, fn);
    return this;
  }

  /**
   * Listen no more. The subscription stays: see `emit` with `disconnect`.
   *
   * @param {string} event
   * @param {Listener} [fn] all of the event's listeners where left out.
   */
  off(event, fn) {
    this.#emitter._remove(event, fn);
    return this;
  }

  /**
   * Subscribe to a binding, or unsubscribe. Without a connection it is remembered for the next one.
   *
   * @param {string} event
   * @param {EmitOptions} [options]
   * @throws {TypeError} the event or the options are none.
   */
  emit(event, options = {}) {
    check(event, options);
    if (!options.disconnect) {
      this.#subscriptions._subscribe(event, options);
      this.#start();
    } else if (this.#subscriptions._unsubscribe(event, options.params)) {
      this.#emitter._tell(event, { action: "disconnect", params: options.params });
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
      misused("initial.rows is a list");
    }
    if (!this.#wantsMarks) {
      this.#wantsMarks = true;
      this.#connection._send(hello());
    }
    const subscription = this.#subscriptions._hold(event, params, options);
    if (this.#error && !subscription._is(ACCEPTED)) {
      subscription._store._blame(this.#error);
      subscription._show();
    }
    /** @type {Collection<any>} */
    const collection = new Collection(subscription, (each) => {
      this.#subscriptions._soon();
      this.#transaction._touch(each);
    });
    this.#transaction._touch(subscription);
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
    this.#connection._start();
    this.#tellStatus();
    return this;
  }

  /** End the connection. What is subscribed goes on from there after `connect()`. */
  close() {
    this.#connection._stop();
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
      this.#connection._look();
      this.#auth?._look();
      this.#subscriptions._look();
    }
  }

  #opened() {
    this.#wonders = false;
    this.#error = null;
    if (this.#wantsMarks) {
      this.#connection._send(hello());
    }
    if (this.#auth) {
      this.#auth._opened();
    } else {
      this.#subscriptions._opened();
    }
    this.#tellStatus();
    if (this.status === "live") {
      this.#emitter._tell("connect");
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
    this.#auth?._closed();
    this.#subscriptions._closed(code, this.#error);
    if (!willReconnect) {
      this.#unwatch();
    }
    this.#transaction._lost();
    this.#tellStatus();
    if (attempts === 0) {
      this.#emitter._tell("disconnect", ending);
    } else if (problem) {
      if (this.#wonders) {
        warn(`${problem.detail}. ${ADVICE}`); // a browser tells nobody why
      }
      this.#wonders = false;
      this.#emitter._tell("error", { action: "error", payload: problem });
    }
  }

  /**
   * Return why there is no connection now, if we did not ask for that.
   *
   * @param {Ending} ending
   * @param {number} attempts
   * @returns {{code: string, detail: string, attempts?: number} | null}
   */
  #problem({ code, reason, willReconnect }, attempts) {
    if (willReconnect) {
      const what = attempts ? "cannot connect" : "lost connection";
      const detail = `${what} to ${this.#url.replace(/(\/\/)[^/?]*@|\?.*/g, "$1")}: ${reason || `closed with ${code}`}`;
      return { code: "unreachable", detail, attempts };
    }
    if (code < UNAUTHENTICATED) {
      return null;
    }
    return { code: code === UNAUTHENTICATED ? "unauthenticated" : "forbidden", detail: reason };
  }

  #tellStatus() {
    if (this.#toldStatus !== this.status) {
      this.#toldStatus = this.status;
      this.#emitter._tell("status", this.status);
    }
  }
}

/**
 * @param {string} event
 * @param {EmitOptions} options
 */
function check(event, options) {
  if (typeof event !== "string" || OWN.test(event)) {
    misused(`"${event}" is no binding's event`);
  }
  if (!isObject(options) || !isObject(options.params ?? {})) {
    misused("params is an object");
  }
  const { page_size = 1 } = options;
  if (!Number.isSafeInteger(page_size) || page_size < 1) {
    misused("page_size is no size");
  }
}
