/**
 * Rows in order, found by key. A linked list with an index: putting, moving and removing a row
 * costs the same whether there are ten rows or a million, so that a batch is applied one by one.
 *
 * @import {Key, Row} from "./messages.js"
 */

import { same } from "./messages.js";

/**
 * @typedef {object} Place
 * @property {Key | null} key
 * @property {Row} row
 * @property {Place} _before
 * @property {Place} _next
 */

export class Rows {
  /** @type {Map<Key, Place>} */
  #places = new Map();
  /** Stands before the first row and behind the last. */
  #edge = edge();

  /**
   * Hold these rows and no others.
   *
   * @param {{key: Key, row: Row}[]} rows
   */
  _replace(rows) {
    const old = this.#places;
    this.#places = new Map();
    this.#edge = edge();
    for (const { key, row } of rows) {
      this._put(key, kept(old.get(key), row));
    }
  }

  /**
   * Put a row in, or in the place of the one with its key. A row that says the same as that one
   * changes nothing: the old object stays.
   *
   * @param {Key} key
   * @param {Row} row
   * @param {Key | null} [after] the key of the row that it follows, null for the first place. If
   *   there is none, or it is unknown, a row stays where it is and a new one goes to the end.
   */
  _put(key, row, after) {
    const old = this.#places.get(key);
    const anchor = this.#anchor(after);
    if (!old) {
      const place = /** @type {Place} */ ({ key, row });
      this.#places.set(key, place);
      insert(place, anchor ?? this.#edge._before);
      return;
    }
    old.row = kept(old, row);
    if (anchor && anchor !== old) {
      unlink(old);
      insert(old, anchor);
    }
  }

  /** @param {Key} key */
  _remove(key) {
    const place = this.#places.get(key);
    if (place) {
      this.#places.delete(key);
      unlink(place);
    }
  }

  /**
   * Return what `fn` makes of each row, in order.
   *
   * @template T
   * @param {(place: Place) => T} fn
   */
  _map(fn) {
    const found = [];
    for (let place = this.#edge._next; place !== this.#edge; place = place._next) {
      found.push(fn(place));
    }
    return found;
  }

  /** @param {Key | null} [after] */
  #anchor(after) {
    return after === null ? this.#edge : this.#places.get(/** @type {Key} */ (after));
  }
}

/**
 * Return the row that there is, if the new one says the same.
 *
 * @param {Place | undefined} place
 * @param {Row} row
 */
function kept(place, row) {
  return place && same(place.row, row) ? place.row : row;
}

/** @returns {Place} */
function edge() {
  const place = /** @type {Place} */ ({ key: null, row: {} });
  place._before = place._next = place;
  return place;
}

/**
 * @param {Place} place
 * @param {Place} anchor
 */
function insert(place, anchor) {
  place._before = anchor;
  place._next = anchor._next;
  anchor._next._before = place;
  anchor._next = place;
}

/** @param {Place} place */
function unlink(place) {
  place._before._next = place._next;
  place._next._before = place._before;
}
