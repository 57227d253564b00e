/**
 * A collection: the rows of one subscription, as `io.collection` hands them out. Several may hold
 * one subscription; each is closed by itself.
 *
 * @import {Key} from "./sync/messages.js"
 * @import {Shown} from "./sync/store.js"
 * @import {Subscription} from "./sync/subscription.js"
 */

import { failure } from "./errors.js";
import { bindMembers } from "./proxies.js";
import { Emitter } from "./sync/emitter.js";

/**
 * @typedef {"connecting" | "live" | "stale" | "closed"} CollectionStatus
 *
 * @typedef {object} Fault why there is nothing, or nothing new.
 * @property {string} code the server's, or `unreachable` where there is no connection.
 * @property {string} detail
 * @property {boolean} passing whether it is tried again by itself.
 * @property {number} [attempts] how many attempts to connect have failed in a row.
 *
 * @typedef {Error & Fault} CollectionError
 */

const STEP = "step";

/** @template {object} [R=Record<string, any>] */
export class Collection {
  /** @type {Subscription} */
  #subscription;
  #release;
  #emitter = new Emitter();
  /** What is shown after `close`. @type {Shown | null} */
  #last = null;
  /** What subscribers have been told of. @type {Shown} */
  #told;
  /** How `ready` is settled. @type {any} */
  #resolve;
  /** @type {any} */
  #reject;

  /**
   * Resolves to the first rows that are live; rejects with `error` where there will be none. What
   * may pass is waited out.
   *
   * @type {Promise<readonly Readonly<R>[]>}
   */
  ready = new Promise((resolve, reject) => {
    this.#resolve = resolve;
    this.#reject = reject;
  });

  /**
   * @param {Subscription} subscription
   * @param {(subscription: Subscription) => void} release hears that it is held no more by this.
   */
  constructor(subscription, release) {
    this.#subscription = subscription;
    this.#release = release;
    this.#told = subscription._store._shown;
    this.ready.catch(() => {});
    subscription._store._add(this);
    this.#settle();
    bindMembers(this);
  }

  /**
   * Call `fn` once for each step: when rows, status or error have changed. It may be handed over as
   * it is, as every method here.
   *
   * @param {() => void} fn
   * @returns {() => void} ends the calls.
   */
  subscribe(fn) {
    const call = () => fn();
    this.#emitter._add(STEP, call);
    return () => this.#emitter._remove(STEP, call);
  }

  get #shown() {
    return this.#last ?? this.#subscription._store._shown;
  }

  /**
   * The rows in the binding's order: a new array for each step, in which rows that did not change
   * are the same objects. They are shared: the array is frozen, and you copy a row to change it.
   *
   * @returns {readonly Readonly<R>[]}
   */
  get rows() {
    return /** @type {readonly any[]} */ (this.#shown.rows);
  }

  /** @returns {CollectionStatus} */
  get status() {
    return this.#shown.status;
  }

  /**
   * Why there is nothing, or nothing new. Null while all is well. Rows that there are stay.
   *
   * @returns {CollectionError | null}
   */
  get error() {
    return this.#shown.error;
  }

  /**
   * Return the row with a key, as `rows` has it.
   *
   * @param {Key} key
   * @returns {Readonly<R> | undefined}
   */
  get(key) {
    const shown = this.#shown;
    const name = this.#subscription._key;
    shown._index ??= new Map(shown.rows.map((row) => [/** @type {Key} */ (row[name]), row]));
    return /** @type {any} */ (shown._index.get(key));
  }

  /** Want the rows no more. The last ones stay; nobody is told of another step. */
  close() {
    if (!this.#last) {
      this.#last = { ...this.#shown, status: "closed" };
      this.#emitter._remove(STEP);
      this.#reject(failure({ code: "closed", detail: "closed by the client" }, true));
      this.#subscription._store._remove(this);
      this.#release(this.#subscription);
    }
  }

  /**
   * Called when another subscription has turned out to be the same; it is the one that stays.
   *
   * @param {Subscription} subscription
   * @internal
   */
  _join(subscription) {
    this.#subscription = subscription;
    subscription._store._add(this);
  }

  /**
   * Called when what is shown may have changed.
   *
   * @internal
   */
  _tell() {
    if (this.#told !== this.#shown) {
      this.#told = this.#shown;
      this.#settle();
      this.#emitter._tell(STEP);
    }
  }

  #settle() {
    const { rows, status, error } = this.#shown;
    if (status === "live") {
      this.#resolve(rows);
    } else if (error?.passing === false) {
      this.#reject(error);
    }
  }
}
