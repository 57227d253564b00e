/** Who listens to which event. A listener that throws is reported and harms nobody else. */

/** @typedef {(data: any) => void} Listener */

export class Emitter {
  /** Each has a mark: one that went and came back is another. @type {Map<string, Map<Listener, object>>} */
  #byEvent = new Map();
  /** What is still to be called. @type {(() => void)[]} */
  #due = [];

  /**
   * @param {string} event
   * @param {Listener} fn
   */
  _add(event, fn) {
    const fns = this.#byEvent.get(event) ?? new Map();
    this.#byEvent.set(event, fns.set(fn, fns.get(fn) ?? {}));
  }

  /**
   * Remove one listener of an event, or all of them.
   *
   * @param {string} event
   * @param {Listener} [fn]
   */
  _remove(event, fn) {
    if (fn) {
      this.#byEvent.get(event)?.delete(fn);
    } else {
      this.#byEvent.delete(event);
    }
  }

  /**
   * Call who listens now: nobody who is removed meanwhile, and nobody who comes meanwhile. What a
   * listener brings about is heard after what it was called for, so that the last word is the newest.
   *
   * @param {string} event
   * @param {unknown} [data]
   */
  _tell(event, data) {
    const ahead = this.#due.length;
    for (const [fn, mark] of this.#byEvent.get(event) ?? []) {
      this.#due.push(() => this.#byEvent.get(event)?.get(fn) === mark && fn(data));
    }
    if (ahead) {
      return; // whoever calls those calls these too
    }
    try {
      for (const call of this.#due) {
        try {
          call();
        } catch (error) {
          report(error);
        }
      }
    } finally {
      this.#due = [];
    }
  }
}

/**
 * Show an error as if nobody had caught it.
 *
 * @param {unknown} error
 */
export function report(error) {
  // biome-ignore lint/suspicious/noConsole: the only place left where it would be seen.
  (globalThis.reportError ?? console.error)(error);
}

/**
 * Say that something was wrong that the client could go on after.
 *
 * @param {string} text
 * @param {unknown[]} why
 */
export function warn(text, ...why) {
  // biome-ignore lint/suspicious/noConsole: a developer looks there.
  console.warn(`bindserver: ${text}`, ...why);
}
