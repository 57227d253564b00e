/**
 * Rows in order, found by key. A linked list with an index: putting, moving and removing a row
 * costs the same whether there are ten rows or a million, so that a batch is applied one by one.
 *
 * @import {Key, Row} from "./messages.js"
 */

/**
 * @typedef {object} Place
 * @property {Row} _row
 * @property {Place} _before
 * @property {Place} _next
 */

export class Rows {
  /** The name of the row field that holds the key. */
  #name;
  /** @type {Map<Key, Place>} */
  #places = new Map();
  /** Stands before the first row and behind the last. */
  #edge = edge();

  /** @param {string} name */
  constructor(name) {
    this.#name = name;
  }

  /**
   * Hold these rows and no others.
   *
   * @param {Row[]} rows
   */
  _replace(rows) {
    const old = this.#places;
    this.#places = new Map();
    this.#edge = edge();
    for (const row of rows) {
      this._put(kept(old.get(this.#key(row)), row));
    }
  }

  /**
   * Put a row in, or in the place of the one with its key. A row that says the same as that one
   * changes nothing: the old object stays.
   *
   * @param {Row} row
   * @param {Key | null} [after] the key of the row that it follows, null for the first place. If
   *   there is none, or it is unknown, a row stays where it is and a new one goes to the end.
   */
  _put(row, after) {
    const key = this.#key(row);
    const old = this.#places.get(key);
    const anchor = after === null ? this.#edge : this.#places.get(/** @type {Key} */ (after));
    const place = old ?? /** @type {Place} */ ({});
    place._row = kept(old, row);
    if (!old) {
      this.#places.set(key, place);
    } else if (anchor && anchor !== old) {
      unlink(old);
    } else {
      return;
    }
    insert(place, anchor ?? this.#edge._before);
  }

  /** @param {Row} row what has its key. */
  _remove(row) {
    const key = this.#key(row);
    const place = this.#places.get(key);
    this.#places.delete(key);
    place && unlink(place);
  }

  /** Return the rows in order. */
  _list() {
    const rows = [];
    for (let place = this.#edge._next; place !== this.#edge; place = place._next) {
      rows.push(place._row);
    }
    return rows;
  }

  /** @param {Row} row */
  #key(row) {
    return /** @type {Key} */ (row[this.#name]);
  }
}

/**
 * Return the row that there is, if the new one says the same as the server writes it: with its fields in
 * one order.
 *
 * @param {Place | undefined} place
 * @param {Row} row
 */
function kept(place, row) {
  return place && JSON.stringify(place._row) === JSON.stringify(row) ? place._row : row;
}

/** @returns {Place} */
function edge() {
  const place = /** @type {Place} */ ({});
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
