/**
 * One subscription: what was asked for, what was answered, and the rows that came.
 *
 * It is `waiting` from an ask to its answer, `accepted` while frames of this connection are ours to
 * apply, and `fresh` when only a whole sync will do, so that its next ask names no state.
 *
 * @import {Data, Params} from "./messages.js"
 */

import { canonical, subscribe } from "./messages.js";
import { Replica } from "./replica.js";

export class Subscription {
  /** The texts of the params by which it was asked for. @type {Set<string>} */
  names = new Set();
  /** The canonical params' text, once the server has told. @type {string | null} */
  canonical = null;
  /** @type {number | undefined} */
  pageSize;
  /** The newest ask's mark. */
  ref = 0;
  waiting = false;
  accepted = false;
  fresh = true;
  /** Whether the newest ask named a state. */
  resumed = false;
  /** How many asks in a row the server could not serve for now. */
  failures = 0;
  /** The next ask's timer. @type {any} */
  retry = null;
  /** @type {Replica | null} */
  replica = null;

  /**
   * @param {string} event
   * @param {Params | null} [params]
   */
  constructor(event, params) {
    const text = canonical(params);
    this.event = event;
    /** Our own copy. @type {Params} */
    this.params = JSON.parse(text);
    this.names.add(text);
  }

  /**
   * Tell whether this is the subscription to an event with these params.
   *
   * @param {string} event
   * @param {string} text the params' text.
   */
  matches(event, text) {
    return this.event === event && (this.canonical === text || this.names.has(text));
  }

  /**
   * Return the message that asks for it.
   *
   * @param {number} ref
   */
  ask(ref) {
    const { event, params, pageSize, replica } = this;
    const cursor = (!this.fresh && replica?.cursor) || undefined;
    const held = cursor && replica ? replica.keys() : undefined;
    this.ref = ref;
    this.waiting = true;
    this.resumed = cursor !== undefined;
    return subscribe(event, { params, pageSize, cursor, held, ref });
  }

  /**
   * Take the server's word that it stands.
   *
   * @param {string} text the canonical params' text.
   * @param {string} key the name of the row field that holds the key.
   */
  accept(text, key) {
    this.waiting = false;
    this.accepted = true;
    this.canonical = text;
    this.replica?.interrupt();
    if (this.replica?.key !== key) {
      this.replica = new Replica(key);
      this.fresh = true;
    }
  }

  /**
   * Take a frame of the accepted stream, and return the listeners' calls.
   *
   * @param {Data} data
   * @throws {import("./messages.js").BadFrame} it cannot be applied.
   */
  take(data) {
    const calls = this.replica?.apply(data) ?? [];
    if (calls.length > 0 && data.action !== "stale") {
      this.failures = 0;
    }
    if (calls[0]?.action === "sync" && !this.waiting) {
      this.fresh = false;
    }
    return calls;
  }

  /** Have the next ask name no state, and take no frame before its answer. */
  startOver() {
    this.accepted = false;
    this.fresh = true;
  }

  /** Take the word that the connection is gone. */
  lost() {
    this.waiting = false;
    this.accepted = false;
  }
}
