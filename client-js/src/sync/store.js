/**
 * What collections show of a subscription, and which collections those are.
 *
 * @import {Collection, CollectionError, CollectionStatus} from "../collection.js"
 * @import {Problem} from "../errors.js"
 * @import {Key, Row} from "./messages.js"
 * @import {Subscription} from "./subscription.js"
 */

import { failure } from "../errors.js";

/**
 * @typedef {object} Shown
 * @property {readonly Row[]} rows
 * @property {CollectionStatus} status
 * @property {CollectionError | null} error
 * @property {Map<Key, Row>} [_index] the rows by their keys, once somebody has asked for one.
 */

export class Store {
  /** A new object for each step. @type {Shown} */
  _shown = { rows: [], status: "connecting", error: null };
  /** Why there is nothing, or nothing new. @type {CollectionError | null} */
  _error = null;
  /** The collections that hold it. @type {Set<Collection<any>>} */
  #holders = new Set();
  /** Whether it has rows of an earlier connection, and no answer on this one. */
  _behind = false;

  /** Whether collections hold it. */
  get _isHeld() {
    return this.#holders.size > 0;
  }

  /** Whether what collections show is to wait for an answer. */
  get _isBehind() {
    return this._behind && this._isHeld;
  }

  /** @param {Collection<any>} holder */
  _add(holder) {
    this.#holders.add(holder);
  }

  /** @param {Collection<any>} holder */
  _remove(holder) {
    this.#holders.delete(holder);
  }

  /**
   * Begin with rows that came by another way.
   *
   * @param {readonly Row[]} rows
   */
  _seed(rows) {
    this._shown = { rows: frozen(rows), status: "stale", error: null };
  }

  /**
   * Bring what is shown up to date: a new object where anything is different now.
   *
   * @param {CollectionStatus} status
   * @param {readonly Row[] | false} rows none where those that are shown stay.
   */
  _show(status, rows) {
    const shown = this._shown;
    const now = {
      rows: rows ? renewed(shown.rows, rows) : shown.rows,
      status,
      error: status === "live" ? null : this._error,
    };
    if (now.rows !== shown.rows || status !== shown.status || now.error !== shown.error) {
      this._shown = now;
    }
  }

  /** Tell those who hold it what is shown, if that is news. */
  _tell() {
    for (const holder of [...this.#holders]) {
      holder._tell();
    }
  }

  /**
   * Note why it is not served.
   *
   * @param {Problem} problem
   * @param {boolean} [final] whether that ends the waiting for it.
   */
  _fail(problem, final = false) {
    this._behind = false;
    this._blame(failure(problem, final));
  }

  /**
   * Note what stands in the way of an answer, or that nothing does.
   *
   * @param {CollectionError | null} error
   */
  _blame(error) {
    this._error = error;
  }

  /**
   * Have collections wait for an answer with what they show, or let them show what there is.
   *
   * @param {boolean} does
   */
  _wait(does) {
    this._behind = does;
  }

  /**
   * Take over from another one. What is shown never goes back from what is live to what one of them
   * began with.
   *
   * @param {Store} other
   * @param {Subscription} subscription whose this one is.
   */
  _join(other, subscription) {
    for (const holder of other.#holders) {
      holder._join(subscription);
    }
    if (this._shown.status === "connecting" || other._shown.status === "live") {
      this._shown = other._shown;
    }
  }
}

/**
 * @param {readonly Row[]} old
 * @param {readonly Row[]} rows
 */
function renewed(old, rows) {
  const same = rows.length === old.length && rows.every((row, index) => row === old[index]);
  return same ? old : frozen(rows);
}

/**
 * Return rows that nobody who holds them can put in another order for all.
 *
 * @param {readonly Row[]} rows
 */
function frozen(rows) {
  try {
    if (Object.getOwnPropertyDescriptor(rows, 0)?.value === rows[0]) {
      return Object.freeze(rows);
    }
  } catch {} // an observable array that lets nobody freeze it
  return Object.freeze([...rows]); // behind a proxy that hands out others than it holds, as Vue's does
}
