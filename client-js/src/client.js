/**
 * `io`: what people hold in their hands. Wires the connection, asks, answers and listeners.
 *
 * @import {Environment} from "./environment.js"
 * @import {Ending, Status} from "./connection.js"
 * @import {Params} from "./messages.js"
 * @import {Listener} from "./listeners.js"
 */

import { Answers } from "./answers.js";
import { Asks } from "./asks.js";
import { Connection } from "./connection.js";
import { Listeners } from "./listeners.js";
import { isObject, ping } from "./messages.js";
import { watchPage } from "./page.js";

/**
 * @typedef {object} Wish
 * @property {Params | null} [params] arguments for a binding that takes any.
 * @property {number} [page_size] about how many rows a page of a large answer should have.
 * @property {boolean} [disconnect] unsubscribe.
 */

/** Events of the client's own; no binding may have these names. */
const OWN = new Set(["connect", "disconnect", "error", "status"]);

export class Client {
  #listeners = new Listeners();
  #connection;
  #asks;
  #answers;
  #pings = 0;
  /** @type {Status} */
  #toldStatus = "idle";
  #unwatch = () => {};

  /**
   * @param {string} url
   * @param {Environment} env
   */
  constructor(url, env) {
    this.#asks = new Asks(env, (text) => this.#connection.send(text));
    this.#answers = new Answers(this.#asks, (event, data) => this.#listeners.tell(event, data));
    this.#connection = new Connection(url, env, {
      dialed: () => this.#tellStatus(),
      opened: () => this.#opened(),
      message: (text) => this.#answers.take(text),
      closed: (ending, wasLive) => this.#closed(ending, wasLive),
      ping: () => this.#ping(),
    });
  }

  /** @returns {Status} */
  get status() {
    return this.#connection.status;
  }

  /**
   * Listen to a binding's event, or to `connect`, `disconnect`, `error` or `status`.
   *
   * @param {string} event
   * @param {Listener} fn called with `{action, payload, ...}`; once for each row of a batch.
   */
  on(event, fn) {
    if (typeof fn !== "function") {
      throw new TypeError("bindserver: io.on takes an event and a function");
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
    if (wish.disconnect) {
      this.#asks.unsubscribe(event, wish.params);
      return this;
    }
    this.#asks.subscribe(event, wish);
    if (this.status === "idle") {
      this.connect();
    }
    return this;
  }

  /** Connect now: before the first `emit`, or after the connection was closed for good. */
  connect() {
    this.#unwatch();
    this.#unwatch = watchPage(() => this.#connection.look());
    this.#connection.open();
    return this;
  }

  /** End the connection. What is subscribed goes on from there after `connect()`. */
  close() {
    this.#connection.close();
    return this;
  }

  #opened() {
    this.#asks.opened();
    this.#tellStatus();
    this.#listeners.tell("connect", undefined);
  }

  /**
   * @param {Ending} ending
   * @param {boolean} wasLive
   */
  #closed(ending, wasLive) {
    this.#asks.closed(ending.code);
    if (!ending.willReconnect) {
      this.#unwatch();
    }
    this.#tellStatus();
    if (wasLive) {
      this.#listeners.tell("disconnect", ending);
    }
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
  if (typeof event !== "string" || event === "" || event.startsWith("$") || OWN.has(event)) {
    throw new TypeError(`bindserver: "${event}" is no binding's event`);
  }
  if (!isObject(wish) || !(wish.params == null || isObject(wish.params))) {
    throw new TypeError("bindserver: io.emit takes an event and {params, page_size, disconnect}");
  }
  const size = wish.page_size;
  if (size !== undefined && !(Number.isSafeInteger(size) && size > 0)) {
    throw new TypeError("bindserver: page_size is a positive integer");
  }
}
