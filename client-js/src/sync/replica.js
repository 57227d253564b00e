/**
 * A client's copy of one binding's rows. Pure: frames in, rows and the listeners' calls out.
 *
 * Rules: a frame is applied as one step or not at all; pages stand aside until the last one is
 * here; applying a frame twice harms nothing; the cursor is the newest one that came, and the rows
 * are at its state. `tests/vectors/replica.json` shows each rule.
 *
 * @import {Data, Key, Row} from "./messages.js"
 */

import { BadFrame, isKey, isObject } from "./messages.js";
import { Paging } from "./paging.js";
import { Rows } from "./rows.js";

/**
 * @typedef {object} Change
 * @property {string} action
 * @property {Key} key
 * @property {Row} row
 * @property {Key | null} [after]
 */

const CHANGES = ["create", "update", "delete"];

export class Replica {
  #rows = new Rows();
  #pages = new Paging();

  /** @param {string} key the name of the row field that holds the key. */
  constructor(key) {
    this._key = key;
    /** @type {string | null} */
    this._cursor = null;
    /** Whether the rows are what the server says that they are now. */
    this._live = false;
    /** Whether there has been a sync. */
    this._filled = false;
  }

  /** Return the rows in order. */
  _rows() {
    return this.#rows._map(({ row }) => row);
  }

  /** Return the rows' keys in order. */
  _keys() {
    return this.#rows._map(({ key }) => /** @type {Key} */ (key));
  }

  /** Throw away the pages of an answer whose rest will not come. */
  _interrupt() {
    this.#pages._clear();
  }

  /**
   * Apply a frame.
   *
   * @param {Data} data
   * @returns {Data[]} what listeners are to be called with, in order; none for a page that is not
   *   the last and for an action that is unknown.
   * @throws {BadFrame} it is not what the contract says; nothing was applied.
   */
  _take(data) {
    const calls = this.#perform(data);
    if (calls) {
      this._live = data.action !== "stale";
      if (typeof data.cursor === "string") {
        this._cursor = data.cursor;
      }
    }
    return calls ?? [];
  }

  /** @param {Data} data */
  #perform(data) {
    const { action } = data;
    if (action === "ok" || action === "stale") {
      return [data];
    }
    if (CHANGES.includes(action)) {
      return this.#single(data);
    }
    if (action !== "sync" && action !== "batch") {
      return null;
    }
    const whole = this.#pages._take(data);
    return whole && (action === "sync" ? this.#sync(whole) : this.#batch(whole));
  }

  /** @param {Data} data */
  #single(data) {
    if (this.#pages._missing) {
      throw new BadFrame("between pages");
    }
    this.#put([this.#read(data)]);
    return [data];
  }

  /** @param {Data} data */
  #sync(data) {
    /** @type {Change[]} */
    const changes = data.payload.map((/** @type {Row} */ row) =>
      this.#read({ action: "update", payload: row }),
    );
    this._filled = true;
    this.#rows._replace(changes);
    return [data];
  }

  /** @param {Data} data */
  #batch({ payload, params, cursor }) {
    const known = payload.filter((/** @type {Data} */ change) => CHANGES.includes(change?.action));
    this.#put(known.map((/** @type {Data} */ change) => this.#read(change)));
    return known.map((/** @type {Data} */ change, /** @type {number} */ index) => ({
      ...change,
      ...(params && { params }),
      ...(cursor && index === known.length - 1 && { cursor }),
    }));
  }

  /** @param {Change[]} changes */
  #put(changes) {
    for (const { action, key, row, after } of changes) {
      if (action === "delete") {
        this.#rows._remove(key);
      } else {
        this.#rows._put(key, row, after);
      }
    }
  }

  /**
   * @param {Data} data
   * @returns {Change}
   */
  #read({ action, payload, after }) {
    const key = isObject(payload) ? payload[this._key] : undefined;
    if (!isKey(key) || !(after === undefined || after === null || isKey(after))) {
      throw new BadFrame("no key or place");
    }
    return { action, key, row: payload, after };
  }
}
