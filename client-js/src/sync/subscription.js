/**
 * One subscription: what was asked for, what was answered, and the rows that came.
 *
 * It is `waiting` from an ask to its answer, `accepted` while frames of this connection are ours to
 * apply, `answered` when the rows are those of such frames, and `fresh` when only a whole sync will
 * do, so that its next ask names no state.
 *
 * Collections show what is `shown`, which follows the replica step by step.
 *
 * @import {Collection, CollectionError, CollectionStatus} from "../collection.js"
 * @import {Data, Params, Row} from "./messages.js"
 * @import {Timer} from "../connection/timer.js"
 */

import { ask, canonical, isKey } from "./messages.js";
import { Replica } from "./replica.js";

/**
 * @typedef {{code: string, detail?: string, attempts?: number}} Problem
 *
 * @typedef {object} Shown
 * @property {readonly Row[]} rows
 * @property {CollectionStatus} status
 * @property {CollectionError | null} error
 */

/** The key's usual name: what is tried before the server tells. */
const USUAL_KEY = "id";

export class Subscription {
  /** The texts of the params by which it was asked for. @type {Set<string>} */
  names = new Set();
  /** The canonical params' text, once the server has told. @type {string | null} */
  canonical = null;
  /** @type {number | undefined} */
  pageSize;
  /** The newest ask's mark; 0 where there was none on this connection. */
  ref = 0;
  waiting = false;
  accepted = false;
  answered = false;
  fresh = true;
  /** Whether the newest ask named a state. */
  resumed = false;
  /** How many asks in a row the server could not serve for now. */
  failures = 0;
  /** The next ask's timer. @type {Timer | null} */
  retry = null;
  /** @type {Replica | null} */
  replica = null;
  /** Whether `io.emit` holds it. */
  emitted = false;
  /** Whether its end is told to listeners, since it is by `io.emit`. */
  echoes = false;
  /** Whether it has ended for good. */
  closed = false;
  /** The collections that hold it. @type {Set<Collection<any>>} */
  holders = new Set();
  /** Whether it has rows of an earlier connection, and no answer on this one. */
  behind = false;
  /** Why it is not served. @type {CollectionError | null} */
  error = null;
  /** What the server says of why its stream is about to end. @type {Data | null} */
  why = null;
  /** @type {Shown} */
  shown = { rows: [], status: "connecting", error: null };

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
   * @param {string | null} text the params' text.
   */
  matches(event, text) {
    return (
      this.event === event && text !== null && (this.canonical === text || this.names.has(text))
    );
  }

  /** The name of the row field that holds the key, as far as we know. */
  get key() {
    return this.replica?.key ?? USUAL_KEY;
  }

  /**
   * Begin with rows that came by another way. If their key has another name than we think, the
   * server's first answer says so, and brings them all.
   *
   * @param {readonly any[]} rows
   * @param {string | null} [cursor]
   * @param {string} [key]
   */
  seed(rows, cursor, key = USUAL_KEY) {
    this.shown = { rows: frozen(rows), status: "stale", error: null };
    if (cursor && rows.every((row) => isKey(row?.[key]))) {
      this.replica = new Replica(key);
      this.replica.apply({ action: "sync", payload: rows, cursor });
      this.lost();
      this.fresh = false;
    }
  }

  /**
   * Bring what is shown up to date: a new object where anything is different now. Before the answer
   * only the status changes: rows that came and were not shown yet wait for those that belong to
   * them.
   */
  show() {
    const { rows, error } = this.shown;
    const status = this.#status();
    const now = {
      rows: this.answered && this.replica?.filled ? renewed(rows, this.replica.rows()) : rows,
      status,
      error: status === "live" ? null : this.error,
    };
    if (now.rows !== rows || status !== this.shown.status || now.error !== error) {
      this.shown = now;
    }
  }

  /** @returns {CollectionStatus} */
  #status() {
    if (this.closed) {
      return "closed";
    }
    if (this.answered && this.replica?.live) {
      return "live";
    }
    return this.shown.status === "connecting" ? "connecting" : "stale";
  }

  /**
   * Note why it is not served.
   *
   * @param {Problem} problem
   * @param {boolean} [final] whether that ends the waiting for it.
   */
  fail(problem, final = false) {
    this.behind = false;
    this.blame(failure(problem, final));
  }

  /**
   * Note what stands in the way of an answer, or that nothing does.
   *
   * @param {CollectionError | null} error
   */
  blame(error) {
    this.error = error;
  }

  /**
   * Return the message that ends it.
   *
   * @param {number} ref
   */
  leave(ref) {
    return ask(this.event, { disconnect: true, params: this.params, ref });
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
    return ask(event, { params, page_size: pageSize, cursor, held, ref });
  }

  /**
   * Take the server's word that it stands.
   *
   * @param {string} key the name of the row field that holds the key.
   */
  accept(key) {
    this.waiting = false;
    this.accepted = true;
    this.why = null;
    this.blame(null);
    this.replica?.interrupt();
    if (this.replica?.key !== key) {
      this.replica = new Replica(key);
      this.answered = false;
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
      this.answered || this.retry?.clear();
      this.retry?.isSet || this.blame(null);
    }
    this.answered ||= calls.length > 0;
    if (this.answered || this.replica?.live) {
      this.behind = false;
    }
    if (calls[0]?.action === "sync" && !this.waiting) {
      this.fresh = false;
    }
    return calls;
  }

  /** Have the next ask name no state, and take no frame before its answer. */
  startOver() {
    this.accepted = false;
    this.answered = false;
    this.fresh = true;
  }

  /**
   * Return what was said of why its stream ends with a code.
   *
   * @param {string | undefined} code
   */
  explained(code) {
    return this.why?.payload.code === code ? this.why : null;
  }

  /** Take the word that the connection is gone. */
  lost() {
    this.ref = 0;
    this.waiting = false;
    this.accepted = false;
    this.answered = false;
    if (this.replica?.live) {
      this.behind = true;
      this.replica.live = false;
    }
  }

  /**
   * Take over from another one that has turned out to be the same. What is shown never goes back
   * from what is live to what one of them began with.
   *
   * @param {Subscription} other
   */
  join(other) {
    for (const name of other.names) {
      this.names.add(name);
    }
    for (const holder of other.holders) {
      holder.move(this);
    }
    this.emitted ||= other.emitted;
    if (this.shown.status === "connecting" || other.shown.status === "live") {
      this.shown = other.shown;
    }
    if (!this.resumed && other.replica) {
      other.replica.interrupt();
      this.replica = other.replica;
      this.answered = other.answered;
      this.behind ||= other.behind;
    }
  }
}

/**
 * Return an error of the contract's kind.
 *
 * @param {Problem} problem
 * @param {boolean} final whether nothing will be tried again.
 * @returns {CollectionError}
 */
export function failure({ code, detail = "", attempts }, final) {
  return Object.assign(new Error(detail || code), { code, detail, passing: !final, attempts });
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
