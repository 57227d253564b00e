/**
 * Keeps one WebSocket open: opens it, notices that it is dead, and comes back after a wait.
 * Knows nothing of what is said over it.
 *
 *     idle --start-->connecting --(socket opens)--> live
 *                     ^   |  ^                       |
 *                     |   v  '------ (it ends) ------'
 *                     '- wait
 *     any --close, or a close code that says stay away--> closed --start--> connecting
 *
 * @import {Environment, Socket} from "./environment.js"
 */

import { comesBack, reconnectWait } from "./backoff.js";
import { Heartbeat } from "./heartbeat.js";
import { Timer } from "./timer.js";

/**
 * @typedef {"idle" | "connecting" | "live" | "closed"} Status
 *
 * @typedef {object} Ending
 * @property {number} code the WebSocket close code; 1006 where none came.
 * @property {string} reason
 * @property {boolean} willReconnect
 * @property {number} [delay] milliseconds until it does.
 *
 * @typedef {object} Hearer whoever uses the connection.
 * @property {() => void} _opened
 * @property {(text: string) => void} _heard
 * @property {(ending: Ending, attempts: number) => void} _closed with how many attempts to connect have
 *   failed in a row; none where a connection was lost.
 * @property {() => void} _ping asks the server for a sign of life.
 */

/** A connection that lived so many milliseconds was a good one: waits start small again. */
export const STABLE = 5_000;
/** Milliseconds that a socket has to open. */
export const OPENING = 15_000;
/** An attempt to connect that took so many milliseconds is told of when it is given up. */
const LONG = 1_000;
const LATE = "did not open in time";
const NORMAL = 1000;
const ABNORMAL = 1006;

export class Connection {
  #env;
  /** Limits the opening, or ends a wait. */
  #timer;
  #url;
  #hearer;
  #heart;
  /** @type {Status} */
  _status = "idle";
  /** @type {Socket | null} */
  #socket = null;
  #dialedAt = 0;
  #liveSince = 0;
  /** How often in a row there was no stable connection, for the next wait. */
  #attempt = 0;
  /** How many attempts in a row have failed. */
  #attempts = 0;
  /** What the socket itself says of its failure, if it does. */
  #problem = "";
  /** Whether the wait may be cut short. */
  #hurries = true;

  /**
   * @param {string} url
   * @param {Environment} env
   * @param {Hearer} hearer
   */
  constructor(url, env, hearer) {
    this.#url = url;
    this.#env = env;
    this.#timer = new Timer(env);
    this.#hearer = hearer;
    this.#heart = new Heartbeat(env, hearer._ping, () => this.#fail("no sign of life"));
  }

  /** Connect now, unless there is a socket already. */
  _start() {
    if (this._status === "closed") {
      this.#attempts = 0;
    }
    if (!this.#socket) {
      this.#dial();
    }
  }

  /** End the connection, and do not come back until `start`. */
  _stop() {
    if (this._status !== "closed") {
      this.#end(NORMAL, "closed by the client", false);
    }
  }

  /**
   * Send a text, if the connection is live.
   *
   * @param {string} text
   */
  _send(text) {
    if (this._status === "live") {
      this.#socket?.send(text);
    }
  }

  /**
   * Called when the network may have come, gone or changed: look at once. An attempt that is under way
   * may hang on the old one.
   */
  _look() {
    if (this._status === "live") {
      this.#heart._ping();
    } else if (this._status === "connecting" && this.#hurries) {
      this.#attempt = 0;
      if (this.#socket && this.#env.now() - this.#dialedAt >= LONG) {
        this.#fail(LATE);
      } else {
        this.#drop();
      }
      if (this._status === "connecting") {
        this._start();
      }
    }
  }

  #dial() {
    this.#timer._set(() => this.#fail(LATE), OPENING);
    this.#dialedAt = this.#env.now();
    this._status = "connecting";
    this.#hurries = true;
    this.#problem = "";
    try {
      this.#listen(new this.#env.WebSocket(this.#url, this.#env.protocols));
    } catch (error) {
      this.#fail(String(error));
    }
  }

  /**
   * Hear a socket, as long as it is ours: one that was given up may still speak.
   *
   * @param {Socket} socket
   */
  #listen(socket) {
    this.#socket = socket;
    const ours = () => this.#socket === socket;
    socket.onopen = () => ours() && this.#opened();
    socket.onmessage = (/** @type {{data: unknown}} */ { data }) => ours() && this.#heard(data);
    socket.onclose = (/** @type {{code?: number, reason?: string}} */ { code, reason }) =>
      ours() && this.#end(code ?? ABNORMAL, reason || this.#problem);
    socket.onerror = (/** @type {{message?: string} | undefined} */ event) => {
      if (ours()) {
        this.#problem = event?.message ?? "";
      }
    };
  }

  #opened() {
    this.#timer._clear();
    this.#liveSince = this.#env.now();
    this.#heart._start();
    this._status = "live";
    this.#attempts = 0;
    this.#hearer._opened();
  }

  /** @param {unknown} data */
  #heard(data) {
    this.#heart._heard();
    if (typeof data === "string") {
      this.#hearer._heard(data);
    }
  }

  /**
   * Give the socket up: a dead one would take minutes over its closing handshake.
   *
   * @param {string} reason
   */
  #fail(reason) {
    this.#end(ABNORMAL, reason);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {boolean} [willReconnect]
   */
  #end(code, reason, willReconnect = comesBack(code, !!this.#env.auth)) {
    const wasLive = this._status === "live";
    this._status = willReconnect ? "connecting" : "closed";
    this.#drop();
    this.#heart._stop();
    this.#timer._clear();
    this.#attempts += wasLive ? 0 : 1;
    if (!willReconnect || (wasLive && this.#env.now() - this.#liveSince >= STABLE)) {
      this.#attempt = 0;
    }
    const delay = willReconnect && { delay: this.#wait(code) };
    this.#hearer._closed({ code, reason, willReconnect, ...delay }, this.#attempts);
  }

  /** @param {number} code */
  #wait(code) {
    const [delay, hurries] = reconnectWait(code, this.#attempt++, this.#env.random);
    this.#hurries = hurries;
    this.#timer._set(() => this._start(), delay);
    return delay;
  }
}
