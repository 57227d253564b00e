/**
 * One subscription: what was asked for, what was answered, and the rows that came. Its states, and
 * what leads from one to another, are in `states.js`; what is done in which is in
 * `test/subscription.table.test.js`. Nobody else writes a field: what happens is told by a method.
 *
 * Collections show its store, which follows the replica step by step.
 *
 * @import {Initial} from "../client.js"
 * @import {Environment} from "../connection/environment.js"
 * @import {Problem} from "../errors.js"
 * @import {Data, Params} from "./messages.js"
 */

import { ANSWER } from "../connection/auth.js";
import { Timer } from "../connection/timer.js";
import { isKey, write } from "./messages.js";
import { Replica } from "./replica.js";
import {
  ACCEPTED,
  ASKED,
  accepted,
  answered,
  asked,
  CLOSED,
  IDLE,
  SERVED,
  served,
  startedOver,
} from "./states.js";
import { Store } from "./store.js";
import { Topic } from "./topic.js";

/** The key's usual name: what is tried before the server tells. */
const USUAL_KEY = "id";

export class Subscription {
  #state = IDLE;
  /** What collections show, and which they are. */
  _store = new Store();
  /** What it is for. @type {Topic} */
  _topic;
  /** Limits the wait for an answer, or ends the wait for the next ask. @type {Timer} */
  _timer;
  #pageSize;
  /** The newest ask's mark; 0 where there was none on this connection. */
  _ref = 0;
  /** Whether only a whole sync will do, so that the next ask names no state. */
  #fresh = true;
  /** Whether the newest ask named a state. */
  _resumed = false;
  #replica = new Replica(USUAL_KEY);
  /** Whether `io.emit` holds it. */
  _isEmitted = false;
  /** Whether its end is told to listeners, since it is by `io.emit`. */
  _echoes = false;
  /** What the server says of why its stream is about to end. @type {Data | null} */
  #why = null;

  /**
   * @param {Environment} env
   * @param {string} event
   * @param {Params | null} [params]
   * @param {number} [pageSize]
   */
  constructor(env, event, params, pageSize) {
    this._timer = new Timer(env);
    this._topic = new Topic(event, params);
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

  /** Whether somebody wants it. */
  get _isWanted() {
    return this._isEmitted || this._store._isHeld;
  }

  /** Whether the state that the newest ask named was of no use: its answer is for other rows. */
  get _isMistaken() {
    return this.#fresh && this._resumed;
  }

  /** Whether it failed, and waits for its next ask. */
  get _isDelayed() {
    return this._store._error && this._timer._isSet && !this._is(ASKED);
  }

  /** The name of the row field that holds the key, as far as we know. */
  get _key() {
    return this.#replica._key;
  }

  /**
   * Begin with rows that came by another way. If their key has another name than we think, the
   * server's first answer says so, and brings them all.
   *
   * @param {Initial} initial
   */
  _seed({ rows, cursor, key = USUAL_KEY }) {
    this._store._seed(rows);
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
    this._echoes = !this._store._isHeld;
    return this._echoes;
  }

  /**
   * Bring what is shown up to date. Before the answer only the status changes: rows that came and
   * were not shown yet wait for those that belong to them.
   */
  _show() {
    const isFilled = this._is(SERVED) && this.#replica._filled;
    this._store._show(this.#status(), isFilled && this.#replica._rows());
  }

  #status() {
    if (this._is(CLOSED)) {
      return "closed";
    }
    if (this._is(SERVED) && this.#replica._live) {
      return "live";
    }
    return this._store._shown.status === "connecting" ? "connecting" : "stale";
  }

  /**
   * Return the message that ends it.
   *
   * @param {number} ref
   */
  _leave(ref) {
    return write(this._topic._event, { disconnect: true, params: this._topic._params, ref });
  }

  /**
   * Return the message that asks for it.
   *
   * @param {number} ref
   */
  _ask(ref) {
    const cursor = (!this.#fresh && this.#replica._cursor) || undefined;
    const held = cursor ? this.#replica._keys() : undefined;
    this._ref = ref;
    this.#state = asked(this.#state);
    this._resumed = !!cursor;
    return write(this._topic._event, {
      params: this._topic._params,
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
    const waits = () => this._is(ASKED) || !this.#replica._live;
    this._timer._set(() => waits() && late(this), ANSWER);
  }

  /**
   * Called when the server has accepted the newest ask.
   *
   * @param {string} key the name of the row field that holds the key.
   * @param {string} text the canonical params' text.
   */
  _accepted(key, text) {
    this._topic._settle(text);
    this.#state = accepted(this.#state);
    this.#why = null;
    this._store._blame(null);
    this.#replica._interrupt();
    if (this._key !== key) {
      this.#replica = new Replica(key);
      this.#state = ACCEPTED;
      this.#fresh = true;
    }
  }

  /**
   * Called when the newest ask was refused. A stream that stands goes on: the contract says that a
   * refusal changes nothing else.
   *
   * @param {boolean} passes whether it will be asked again.
   * @returns {boolean} whether a stream stands.
   */
  _refused(passes) {
    this.#state = answered(this.#state);
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
   * @throws {Error} it cannot be applied.
   */
  _take(data) {
    const calls = this.#replica._take(data);
    if (calls) {
      if (data.action !== "stale") {
        this._timer._accepted();
        this._is(SERVED) || this._timer._clear();
        this._timer._isSet || this._store._blame(null);
      }
      this.#state = served(this.#state);
      this._store._wait(false);
      if (data.action === "sync" && !this._is(ASKED)) {
        this.#fresh = false;
      }
    }
    return calls ?? [];
  }

  /** Have the next ask name no state, and take no frame before its answer. */
  _startOver() {
    this.#state = startedOver(this.#state);
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
    if (this.#replica._live) {
      this._store._wait(true);
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
    this._store._fail(problem, final);
  }

  /**
   * Take over from another one that has turned out to be the same.
   *
   * @param {Subscription} other
   */
  _join(other) {
    this._topic._join(other._topic);
    this._store._join(other._store, this);
    this._isEmitted ||= other._isEmitted;
    if (!this._resumed) {
      other.#replica._interrupt();
      this.#replica = other.#replica;
      this.#state = accepted(other.#state);
      other._store._behind && this._store._wait(true);
    }
  }
}
