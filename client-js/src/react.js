/**
 * The React adapter: a hook that holds a collection while its component is mounted.
 *
 * @import {Client, CollectionOptions} from "./client.js"
 * @import {Collection, CollectionError, CollectionStatus} from "./collection.js"
 * @import {Key, Params} from "./sync/messages.js"
 */

import { useMemo, useSyncExternalStore } from "react";
import { canonical } from "./sync/messages.js";

/**
 * @template {object} R
 * @typedef {object} Snapshot what a component sees; a new one for each step.
 * @property {readonly R[]} rows
 * @property {CollectionStatus} status
 * @property {CollectionError | null} error
 * @property {(key: Key) => R | undefined} get
 */

/**
 * What stands between a component and its collection: it opens one when React subscribes, and
 * closes it a moment after React has left. So a component that is mounted again at once, as in
 * StrictMode, and one that takes another's place, go on with the subscription that there is.
 *
 * @template {object} R
 */
class Store {
  #open;
  /** What is shown without a collection. @type {Snapshot<R>} */
  #before;
  /** @type {Collection<R> | null} */
  #collection = null;
  /** @type {Snapshot<R>} */
  #shown;

  /**
   * @param {() => Collection<R> | null} open
   * @param {readonly R[]} [rows] to begin with.
   */
  constructor(open, rows) {
    this.#open = open;
    const status = rows ? "stale" : "connecting";
    this.#before = { rows: rows ?? [], status, error: null, get: () => undefined };
    this.#shown = this.#before;
  }

  /** @param {() => void} changed */
  subscribe = (changed) => {
    const collection = this.#open();
    this.#collection = collection;
    const leave = collection?.subscribe(changed);
    return () => {
      leave?.();
      setTimeout(() => collection?.close());
    };
  };

  snapshot = () => {
    const collection = this.#collection;
    if (collection === null) {
      return this.#shown;
    }
    const { rows, status, error } = collection;
    const { rows: old, status: oldStatus, error: oldError } = this.#shown;
    if (rows !== old || status !== oldStatus || error !== oldError) {
      this.#shown = { rows, status, error, get: (key) => collection.get(key) };
    }
    return this.#shown;
  };

  before = () => this.#before;
}

/**
 * Return a binding's rows, which follow the server's as long as the component is mounted. Params
 * that say the same are the same, whether or not they are the same object; other params are another
 * collection. Components with the same event and params share one subscription.
 *
 * @template {object} [R=Record<string, any>]
 * @param {Client | null | undefined} io null for not now: nothing is asked for.
 * @param {string} event
 * @param {Params | null} [params]
 * @param {CollectionOptions} [options] read when the collection is opened.
 * @returns {Snapshot<R>}
 */
export function useCollection(io, event, params, options) {
  const text = canonical(params);
  // biome-ignore lint/correctness/useExhaustiveDependencies: options count at the opening only.
  const store = useMemo(() => {
    /** @type {() => Collection<any> | null} */
    const open = () => io?.collection(event, JSON.parse(text), options) ?? null;
    return new Store(open, /** @type {readonly any[] | undefined} */ (options?.initial?.rows));
  }, [io, event, text]);
  return useSyncExternalStore(store.subscribe, store.snapshot, store.before);
}
