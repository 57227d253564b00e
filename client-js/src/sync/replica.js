/**
 * A client's copy of one binding's rows. Pure: frames in, rows and the listeners' calls out.
 *
 * Rules: a frame is applied as one step or not at all; pages stand aside until the last one is
 * here; applying a frame twice harms nothing; the cursor is the newest one that came, and the rows
 * are at its state. `tests/vectors/replica.json` shows each rule.
 *
 * @import {Data, Key} from "./messages.js"
 */

import { isKey, isObject } from "./messages.js";
import { Paging } from "./paging.js";
import { Rows } from "./rows.js";

const CHANGES = ["create", "update", "delete"];

export class Replica {
  #rows;
  #pages = new Paging();
  _key;
  /** @type {string | null} */
  _cursor = null;
  /** Whether the rows are what the server says that they are now. */
  _live = false;
  /** Whether there has been a sync. */
  _filled = false;

  /** @param {string} key the name of the row field that holds the key. */
  constructor(key) {
    this._key = key;
    this.#rows = new Rows(key);
  }

  /** Return the rows in order. */
  _rows() {
    return this.#rows._list();
  }

  /** Return the rows' keys in order. */
  _keys() {
    return this._rows().map((row) => /** @type {Key} */ (row[this._key]));
  }

  /** Throw away the pages of an answer whose rest will not come. */
  _interrupt() {
    this.#pages._clear();
  }

  /**
   * Apply a frame.
   *
   * @param {Data} data
   * @returns {Data[] | null} what listeners are to be called with, in order; null for a page that is
   *   not the last and for an action that is unknown.
   * @throws {Error} it is not what the contract says; nothing was applied.
   */
  _take(data) {
    const calls = this.#perform(data);
    if (calls) {
      this._live = data.action !== "stale";
      if (typeof data.cursor === "string") {
        this._cursor = data.cursor;
      }
    }
    return calls;
  }

  /** @param {Data} data */
  #perform(data) {
    const { action } = data;
    if (action === "ok" || action === "stale") {
      return [data];
    }
    if (CHANGES.includes(action)) {
      if (this.#pages._missing) {
        throw new Error("between pages");
      }
      return this.#put([data]);
    }
    if (action !== "sync" && action !== "batch") {
      return null;
    }
    const whole = this.#pages._take(data);
    return whole && (action === "sync" ? this.#sync(whole) : this.#batch(whole));
  }

  /** @param {Data} data */
  #sync(data) {
    for (const payload of data.payload) {
      this.#check({ payload });
    }
    this._filled = true;
    this.#rows._replace(data.payload);
    return [data];
  }

  /** @param {Data} data */
  #batch({ payload, params, cursor }) {
    const known = this.#put(
      payload.filter((/** @type {Data} */ change) => CHANGES.includes(change?.action)),
    );
    return known.map((change, index) => ({
      ...change,
      ...(params && { params }),
      ...(cursor && index === known.length - 1 && { cursor }),
    }));
  }

  /**
   * Apply changes, all of them or none.
   *
   * @param {Data[]} changes
   */
  #put(changes) {
    for (const change of changes) {
      this.#check(change);
    }
    for (const { action, payload, after } of changes) {
      if (action === "delete") {
        this.#rows._remove(payload);
      } else {
        this.#rows._put(payload, after);
      }
    }
    return changes;
  }

  /** @param {Partial<Data>} change */
  #check({ payload, after }) {
    if (!isObject(payload) || !isKey(payload[this._key]) || !isKey(after ?? "")) {
      throw new Error("no key or place");
    }
  }
}
