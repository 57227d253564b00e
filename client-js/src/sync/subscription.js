/**
 * One subscription: what was asked for, what was answered, and the rows that came.
 *
 *     IDLE ----ask----> ASKED ---accept---> ACCEPTED ---frame---> SERVED
 *
 * A stream that stands may be asked for again, which leads to ACCEPTED_ASKED or SERVED_ASKED and, once
 * that is answered, back. A connection that is lost ends in IDLE, and so does a stream of which we
 * cannot make use; CLOSED is final. Nobody else writes a field: what happens is told by a method. What
 * there is in which state is in `test/subscription.table.test.js`.
 *
 * Collections show what is shown, which follows the replica step by step.
 *
 * @import {Collection, CollectionError, CollectionStatus} from "../collection.js"
 * @import {Environment} from "../connection/environment.js"
 * @import {Data, Params, Row} from "./messages.js"
 */

import { ANSWER } from "../connection/auth.js";
import { Timer } from "../connection/timer.js";
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

/** There is no stream, and no ask that waits for an answer. */
export const IDLE = 0;
/** An ask waits for its answer. */
export const ASKED = 1;
/** Frames of this connection are ours to apply; the rows are still those of an earlier one. */
export const ACCEPTED = 2;
/** The rows are those of such frames. */
export const SERVED = 4 | ACCEPTED;
export const ACCEPTED_ASKED = ACCEPTED | ASKED;
export const SERVED_ASKED = SERVED | ASKED;
/** It has ended for good. */
export const CLOSED = 8;

/** The key's usual name: what is tried before the server tells. */
const USUAL_KEY = "id";

export class Subscription {
  #state = IDLE;
  #event;
  /** Our own copy. @type {Params} */
  #params;
  /** The texts of the params by which it was asked for. @type {Set<string>} */
  #names;
  /** The canonical params' text, once the server has told. @type {string | null} */
  #canonical = null;
  #pageSize;
  /** The newest ask's mark; 0 where there was none on this connection. */
  _ref = 0;
  /** Whether only a whole sync will do, so that the next ask names no state. */
  #fresh = true;
  /** Whether the newest ask named a state. */
  _resumed = false;
  /** @type {Replica | null} */
  #replica = null;
  /** Whether `io.emit` holds it. */
  _isEmitted = false;
  /** Whether its end is told to listeners, since it is by `io.emit`. */
  _echoes = false;
  /** The collections that hold it. @type {Set<Collection<any>>} */
  #holders = new Set();
  /** Whether it has rows of an earlier connection, and no answer on this one. */
  #behind = false;
  /** Why it is not served. @type {CollectionError | null} */
  #error = null;
  /** What the server says of why its stream is about to end. @type {Data | null} */
  #why = null;
  /** @type {Shown} */
  _shown = { rows: [], status: "connecting", error: null };
  /** Limits the wait for an answer, or ends the wait for the next ask. */
  #timer;

  /**
   * @param {Environment} env
   * @param {string} event
   * @param {Params | null} [params]
   * @param {number} [pageSize]
   */
  constructor(env, event, params, pageSize) {
    const text = canonical(params);
    this.#timer = new Timer(env);
    this.#event = event;
    this.#params = JSON.parse(text);
    this.#names = new Set([text]);
    this.#pageSize = pageSize;
  }

  /**
   * Return whether it is in a state, or in one that includes it, as `SERVED` includes `ACCEPTED`.
   *
   * @param {number} state
   */
  _is(state) {
    return (this.#state & state) === state;
  }

  /**
   * Return whether this is the subscription to an event with these params.
   *
   * @param {string} event
   * @param {string} text the params' text.
   */
  _matches(event, text) {
    return this.#event === event && (this.#canonical === text || this.#names.has(text));
  }

  /**
   * Return whether a shared frame belongs to its stream.
   *
   * @param {string} event
   * @param {string | null} text the canonical params' text.
   */
  _isSettledAs(event, text) {
    return this.#event === event && this.#canonical === text;
  }

  /**
   * Return whether another one is for the same, by any of the texts that its params are known by.
   *
   * @param {Subscription} other
   * @param {string} [text] its canonical params' text.
   */
  _isLike(other, text = other.#canonical ?? "") {
    return [...other.#names, text].some((one) => this._matches(other.#event, one));
  }

  /**
   * Return whether an answer is that to its newest ask; an older ask's mark finds nothing.
   *
   * @param {unknown} ref
   */
  _awaits(ref) {
    return this._is(ASKED) && this._ref === ref;
  }

  /** Whether somebody wants it. */
  get _isWanted() {
    return this._isEmitted || this._isHeld;
  }

  /** Whether collections hold it. */
  get _isHeld() {
    return this.#holders.size > 0;
  }

  /** Whether the state that the newest ask named was of no use: its answer is for other rows. */
  get _isMistaken() {
    return this.#fresh && this._resumed;
  }

  /** Whether what collections show is to wait for its answer. */
  get _isBehind() {
    return this.#behind && this._isHeld;
  }

  /** Whether it failed, and waits for its next ask. */
  get _isDelayed() {
    return this.#error && this.#timer._isSet && !this._is(ASKED);
  }

  /** The name of the row field that holds the key, as far as we know. */
  get _key() {
    return this.#replica?._key ?? USUAL_KEY;
  }

  /**
   * Begin with rows that came by another way. If their key has another name than we think, the
   * server's first answer says so, and brings them all.
   *
   * @param {readonly any[]} rows
   * @param {string | null} [cursor]
   * @param {string} [key]
   */
  _seed(rows, cursor, key = USUAL_KEY) {
    this._shown = { rows: frozen(rows), status: "stale", error: null };
    if (cursor && rows.every((row) => isKey(row?.[key]))) {
      this.#replica = new Replica(key);
      this.#replica._take({ action: "sync", payload: rows, cursor });
      this._lost();
      this.#fresh = false;
    }
  }

  /**
   * Called when `io.emit` asks for it: a fresh answer, in any case.
   *
   * @param {number} [pageSize]
   */
  _subscribe(pageSize) {
    this.#pageSize = pageSize ?? this.#pageSize;
    this._isEmitted = true;
    this.#fresh = true;
  }

  /**
   * Called when `io.emit` wants it no more.
   *
   * @returns {boolean} whether nobody else wants it, so that its end is told to listeners.
   */
  _unsubscribe() {
    this._isEmitted = false;
    this._echoes = !this._isHeld;
    return this._echoes;
  }

  /** @param {Collection<any>} holder */
  _hold(holder) {
    this.#holders.add(holder);
  }

  /** @param {Collection<any>} holder */
  _drop(holder) {
    this.#holders.delete(holder);
  }

  /**
   * Bring what is shown up to date: a new object where anything is different now. Before the answer
   * only the status changes: rows that came and were not shown yet wait for those that belong to
   * them.
   */
  _show() {
    const { rows, error } = this._shown;
    const status = this.#status();
    const now = {
      rows:
        this._is(SERVED) && this.#replica?._filled ? renewed(rows, this.#replica._rows()) : rows,
      status,
      error: status === "live" ? null : this.#error,
    };
    if (now.rows !== rows || status !== this._shown.status || now.error !== error) {
      this._shown = now;
    }
  }

  /** Tell those who hold it what is shown, if that is news. */
  _tell() {
    for (const holder of [...this.#holders]) {
      holder._tell();
    }
  }

  /** @returns {CollectionStatus} */
  #status() {
    if (this._is(CLOSED)) {
      return "closed";
    }
    if (this._is(SERVED) && this.#replica?._live) {
      return "live";
    }
    return this._shown.status === "connecting" ? "connecting" : "stale";
  }

  /**
   * Note why it is not served.
   *
   * @param {Problem} problem
   * @param {boolean} [final] whether that ends the waiting for it.
   */
  _fail(problem, final = false) {
    this.#behind = false;
    this._blame(failure(problem, final));
  }

  /**
   * Note what stands in the way of an answer, or that nothing does.
   *
   * @param {CollectionError | null} error
   */
  _blame(error) {
    this.#error = error;
  }

  /** Let collections show what there is, and wait for no answer. */
  _giveUpWaiting() {
    this.#behind = false;
  }

  /**
   * Return the message that ends it.
   *
   * @param {number} ref
   */
  _leave(ref) {
    return ask(this.#event, { disconnect: true, params: this.#params, ref });
  }

  /**
   * Return the message that asks for it.
   *
   * @param {number} ref
   */
  _ask(ref) {
    const cursor = (!this.#fresh && this.#replica?._cursor) || undefined;
    const held = cursor ? this.#replica?._keys() : undefined;
    this._ref = ref;
    this.#state |= ASKED;
    this._resumed = cursor !== undefined;
    return ask(this.#event, {
      params: this.#params,
      page_size: this.#pageSize,
      cursor,
      held,
      ref,
    });
  }

  /**
   * Call `late` if the answer, or the rows that follow it, do not come in time.
   *
   * @param {(subscription: Subscription) => void} late
   */
  _expect(late) {
    const waits = () => this._is(ASKED) || !this.#replica?._live;
    this.#timer._set(() => waits() && late(this), ANSWER);
  }

  /**
   * Call `fn` after a wait that grows with each failure.
   *
   * @param {() => void} fn
   */
  _later(fn) {
    this.#timer._later(fn);
  }

  /** Wait for nothing any more. */
  _rest() {
    this.#timer._clear();
  }

  /**
   * Called when the server has accepted the newest ask. Another one may turn out to be the same.
   *
   * @param {string} key the name of the row field that holds the key.
   * @param {string} text the canonical params' text.
   * @param {Subscription[]} all
   * @returns {Subscription | undefined} that one.
   */
  _accepted(key, text, all) {
    this.#canonical = text;
    this.#state = (this.#state & ~ASKED) | ACCEPTED;
    this.#why = null;
    this._blame(null);
    this.#replica?._interrupt();
    if (this.#replica?._key !== key) {
      this.#replica = new Replica(key);
      this.#state = ACCEPTED;
      this.#fresh = true;
    }
    return all.find((each) => each !== this && each._isSettledAs(this.#event, text));
  }

  /**
   * Called when the newest ask was refused. A stream that stands goes on: the contract says that a
   * refusal changes nothing else.
   *
   * @param {boolean} passes whether it will be asked again.
   * @returns {boolean} whether a stream stands.
   */
  _refused(passes) {
    this.#state &= ~ASKED;
    const stands = this._is(ACCEPTED);
    if (stands && !passes) {
      this.#fresh = false;
    }
    return stands;
  }

  /**
   * Take a frame of the accepted stream, and return the listeners' calls.
   *
   * @param {Data} data
   * @throws {import("./messages.js").BadFrame} it cannot be applied.
   */
  _take(data) {
    const calls = this.#replica?._take(data) ?? [];
    if (calls[0]) {
      if (data.action !== "stale") {
        this.#timer._accepted();
        this._is(SERVED) || this.#timer._clear();
        this.#timer._isSet || this._blame(null);
      }
      this.#state |= SERVED;
    }
    if (this._is(SERVED) || this.#replica?._live) {
      this.#behind = false;
    }
    if (calls[0]?.action === "sync" && !this._is(ASKED)) {
      this.#fresh = false;
    }
    return calls;
  }

  /** Have the next ask name no state, and take no frame before its answer. */
  _startOver() {
    this.#state &= ASKED;
    this.#fresh = true;
  }

  /**
   * Keep the server's word of why its stream fails; the end follows, if it is true.
   *
   * @param {Data} data
   */
  _explain(data) {
    if (this._is(ACCEPTED) && this._ref === data.ref) {
      this.#why = data;
    }
  }

  /**
   * Return what was said of why its stream ends with a code.
   *
   * @param {string | undefined} code
   */
  _explained(code) {
    return this.#why?.payload.code === code ? this.#why : null;
  }

  /**
   * Called when the connection is gone.
   *
   * @param {boolean} [tooBig] whether what we said was too big, as naming a state may be.
   */
  _lost(tooBig) {
    if (tooBig && this._is(ASKED) && this._resumed) {
      this.#fresh = true;
    }
    this._ref = 0;
    this.#state = IDLE;
    if (this.#replica?._live) {
      this.#behind = true;
      this.#replica._live = false;
    }
  }

  /**
   * Called when the server does not serve it.
   *
   * @param {Problem} problem
   * @param {boolean} final whether it will not be asked again.
   */
  _ended(problem, final) {
    if (final) {
      this.#state = CLOSED;
    } else {
      this._lost();
    }
    this._fail(problem, final);
  }

  /**
   * Take over from another one that has turned out to be the same. What is shown never goes back
   * from what is live to what one of them began with.
   *
   * @param {Subscription} other
   */
  _join(other) {
    for (const name of other.#names) {
      this.#names.add(name);
    }
    for (const holder of other.#holders) {
      holder._join(this);
    }
    this._isEmitted ||= other._isEmitted;
    if (this._shown.status === "connecting" || other._shown.status === "live") {
      this._shown = other._shown;
    }
    if (!this._resumed && other.#replica) {
      other.#replica._interrupt();
      this.#replica = other.#replica;
      this.#state = other._is(SERVED) ? SERVED : ACCEPTED;
      this.#behind ||= other.#behind;
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
