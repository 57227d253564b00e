/** Every state of a subscription by everything that can happen to it. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { ANSWER } from "../src/connection/auth.js";
import { Dispatcher } from "../src/sync/dispatcher.js";
import {
  ACCEPTED,
  ACCEPTED_ASKED,
  ASKED,
  CLOSED,
  IDLE,
  SERVED,
  SERVED_ASKED,
} from "../src/sync/states.js";
import { Store } from "../src/sync/store.js";
import { Subscription } from "../src/sync/subscription.js";
import { Subscriptions } from "../src/sync/subscriptions.js";
import { Topic } from "../src/sync/topic.js";
import { Transaction } from "../src/sync/transaction.js";
import { Clock, endTurn, overheard } from "./surroundings.js";

const CODES = { IDLE, ASKED, ACCEPTED, SERVED, ACCEPTED_ASKED, SERVED_ASKED, CLOSED };
const STATES = Object.keys(CODES);

/** One subscription, by `io.emit`, and the server's side of the talk. */
class Talk {
  clock = new Clock();
  log = [];
  cursor = 0;

  constructor() {
    const env = /** @type {any} */ ({ ...this.clock, random: () => 0.5 });
    const auth = { _accepted() {}, _refused: () => false, _take() {} };
    this.subscriptions = new Subscriptions(
      env,
      (text) => this.#sent(JSON.parse(text)),
      (late) => late._store._fail({ code: "unavailable" }),
    );
    const transaction = new Transaction(this.subscriptions, env);
    const emitter = { _tell: (_, { action }) => this.log.push(`hear ${action}`) };
    this.dispatcher = new Dispatcher(
      this.subscriptions,
      transaction,
      /** @type {any} */ (emitter),
      /** @type {any} */ (auth),
    );
    this.open();
    this.subscribe();
    this.subscription = this.subscriptions._all[0];
  }

  #sent({ data: { ref, disconnect, cursor } }) {
    const what = disconnect ? "leave" : cursor ? "resume" : "ask";
    this.newest = disconnect ? this.newest : ref;
    this.log.push(what);
  }

  says(event, data) {
    endTurn();
    this.dispatcher._take(JSON.stringify({ event, data }));
    endTurn();
  }

  open() {
    this.subscriptions._opened();
    endTurn();
  }

  subscribe(event = "products") {
    this.subscriptions._subscribe(event, {});
    endTurn();
  }

  accept({ key = "id", ref = this.newest } = {}) {
    this.says("$subscribed", { ref, event: "products", params: {}, key });
  }

  frame(data) {
    this.cursor += 1;
    this.says("products", { ...data, cursor: `c${this.cursor}` });
  }

  sync() {
    this.frame({ action: "sync", payload: [{ id: 1 }] });
  }

  refuse(code, ref = this.newest) {
    this.says("products", { action: "error", ref, payload: { code } });
  }

  /** Its state, or GONE where nobody wants it any more. */
  get state() {
    const { subscription } = this;
    if (!subscription._is(CLOSED) && !this.subscriptions._all.includes(subscription)) {
      return "GONE";
    }
    return STATES.findLast((name) => subscription._is(CODES[name]));
  }
}

/** How each state is reached, from the first ask on. */
const REACHED = {
  IDLE: (talk) => talk.refuse("unavailable"),
  ASKED: () => {},
  ACCEPTED: (talk) => talk.accept(),
  SERVED: (talk) => {
    talk.accept();
    talk.sync();
  },
  ACCEPTED_ASKED: (talk) => {
    talk.accept();
    talk.subscribe();
  },
  SERVED_ASKED: (talk) => {
    talk.accept();
    talk.sync();
    talk.subscribe();
  },
  CLOSED: (talk) => talk.refuse("invalid_params"),
};

const INPUTS = {
  subscribed: (talk) => talk.subscribe(),
  unsubscribed: (talk) => {
    talk.subscriptions._unsubscribe("products");
    endTurn();
  },
  accepted: (talk) => talk.accept(),
  acceptedByAnotherKey: (talk) => talk.accept({ key: "sku" }),
  acceptedBefore: (talk) => talk.accept({ ref: talk.newest - 1 }),
  synced: (talk) => talk.sync(),
  firstPage: (talk) => talk.frame({ action: "sync", page: 1, pages: 2, payload: [{ id: 1 }] }),
  changed: (talk) => talk.frame({ action: "update", payload: { id: 1, name: "new" } }),
  stale: (talk) => talk.frame({ action: "stale" }),
  nonsense: (talk) => talk.frame({ action: "update", payload: { name: "without a key" } }),
  refusedForNow: (talk) => talk.refuse("unavailable"),
  refusedForGood: (talk) => talk.refuse("invalid_params"),
  refusedAsTooLarge: (talk) => talk.refuse("too_large"),
  endedForNow: (talk) => talk.says("products", { action: "disconnect", code: "unavailable" }),
  endedForGood: (talk) => talk.says("products", { action: "disconnect", code: "revoked" }),
  lost: (talk) => talk.subscriptions._closed(1006),
  lostAndBack: (talk) => {
    talk.subscriptions._closed(1006);
    talk.open();
  },
  lostAsTooBig: (talk) => {
    talk.subscriptions._closed(1009);
    talk.open();
  },
  hint: (talk) => {
    talk.subscriptions._look();
    endTurn();
  },
  timePassed: (talk) => talk.clock.pass(ANSWER),
};

/** What no input leads to: collections, rows to begin with, and two that turn out to be one. */
const ELSEWHERE = [
  ...["Store._add", "Store._join", "Store._remove", "Store._seed", "Store._show", "Store._tell"],
  ...["Subscription._join", "Subscription._seed", "Subscription._show"],
  ...["Topic._isLike", "Topic._join"],
];

/** The state after an input, what was said, and what listeners heard. */
const CELLS = {
  subscribed: {
    IDLE: "ASKED, ask",
    ASKED: "ASKED, ask",
    ACCEPTED: "ACCEPTED_ASKED, ask",
    SERVED: "SERVED_ASKED, ask",
    ACCEPTED_ASKED: "ACCEPTED_ASKED, ask",
    SERVED_ASKED: "SERVED_ASKED, ask",
    CLOSED: "CLOSED, ask",
  },
  unsubscribed: {
    IDLE: "GONE, leave",
    ASKED: "GONE, leave",
    ACCEPTED: "GONE, leave",
    SERVED: "GONE, leave",
    ACCEPTED_ASKED: "GONE, leave",
    SERVED_ASKED: "GONE, leave",
    CLOSED: "CLOSED, leave",
  },
  accepted: {
    IDLE: "IDLE",
    ASKED: "ACCEPTED",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED",
    SERVED_ASKED: "SERVED",
    CLOSED: "CLOSED",
  },
  acceptedByAnotherKey: {
    IDLE: "IDLE",
    ASKED: "ACCEPTED",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED",
    SERVED_ASKED: "ACCEPTED",
    CLOSED: "CLOSED",
  },
  acceptedBefore: {
    IDLE: "IDLE",
    ASKED: "ASKED",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED_ASKED",
    SERVED_ASKED: "SERVED_ASKED",
    CLOSED: "CLOSED",
  },
  synced: {
    IDLE: "IDLE",
    ASKED: "ASKED",
    ACCEPTED: "SERVED, hear sync",
    SERVED: "SERVED, hear sync",
    ACCEPTED_ASKED: "SERVED_ASKED, hear sync",
    SERVED_ASKED: "SERVED_ASKED, hear sync",
    CLOSED: "CLOSED",
  },
  firstPage: {
    IDLE: "IDLE",
    ASKED: "ASKED",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED_ASKED",
    SERVED_ASKED: "SERVED_ASKED",
    CLOSED: "CLOSED",
  },
  changed: {
    IDLE: "IDLE",
    ASKED: "ASKED",
    ACCEPTED: "SERVED, hear update",
    SERVED: "SERVED, hear update",
    ACCEPTED_ASKED: "SERVED_ASKED, hear update",
    SERVED_ASKED: "SERVED_ASKED, hear update",
    CLOSED: "CLOSED",
  },
  stale: {
    IDLE: "IDLE",
    ASKED: "ASKED",
    ACCEPTED: "SERVED, hear stale",
    SERVED: "SERVED, hear stale",
    ACCEPTED_ASKED: "SERVED_ASKED, hear stale",
    SERVED_ASKED: "SERVED_ASKED, hear stale",
    CLOSED: "CLOSED",
  },
  nonsense: {
    IDLE: "IDLE",
    ASKED: "ASKED",
    ACCEPTED: "IDLE, warn",
    SERVED: "IDLE, warn",
    ACCEPTED_ASKED: "ASKED, warn",
    SERVED_ASKED: "ASKED, warn",
    CLOSED: "CLOSED",
  },
  refusedForNow: {
    IDLE: "IDLE",
    ASKED: "IDLE, hear error",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED, hear error",
    SERVED_ASKED: "SERVED, hear error",
    CLOSED: "CLOSED",
  },
  refusedForGood: {
    IDLE: "IDLE",
    ASKED: "CLOSED, hear error",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED, hear error",
    SERVED_ASKED: "SERVED, hear error",
    CLOSED: "CLOSED",
  },
  refusedAsTooLarge: {
    IDLE: "IDLE",
    ASKED: "CLOSED, hear error",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED, hear error",
    SERVED_ASKED: "SERVED, hear error",
    CLOSED: "CLOSED",
  },
  endedForNow: {
    IDLE: "IDLE",
    ASKED: "ASKED",
    ACCEPTED: "IDLE, hear disconnect",
    SERVED: "IDLE, hear disconnect",
    ACCEPTED_ASKED: "ASKED, hear disconnect",
    SERVED_ASKED: "ASKED, hear disconnect",
    CLOSED: "CLOSED",
  },
  endedForGood: {
    IDLE: "IDLE",
    ASKED: "ASKED",
    ACCEPTED: "CLOSED, hear disconnect",
    SERVED: "CLOSED, hear disconnect",
    ACCEPTED_ASKED: "ASKED, hear disconnect",
    SERVED_ASKED: "ASKED, hear disconnect",
    CLOSED: "CLOSED",
  },
  lost: {
    IDLE: "IDLE",
    ASKED: "IDLE",
    ACCEPTED: "IDLE",
    SERVED: "IDLE",
    ACCEPTED_ASKED: "IDLE",
    SERVED_ASKED: "IDLE",
    CLOSED: "CLOSED",
  },
  lostAndBack: {
    IDLE: "ASKED, ask",
    ASKED: "ASKED, ask",
    ACCEPTED: "ASKED, ask",
    SERVED: "ASKED, resume",
    ACCEPTED_ASKED: "ASKED, ask",
    SERVED_ASKED: "ASKED, ask",
    CLOSED: "CLOSED",
  },
  lostAsTooBig: {
    IDLE: "ASKED, ask",
    ASKED: "ASKED, ask",
    ACCEPTED: "ASKED, ask",
    SERVED: "ASKED, resume",
    ACCEPTED_ASKED: "ASKED, ask",
    SERVED_ASKED: "ASKED, ask",
    CLOSED: "CLOSED",
  },
  hint: {
    IDLE: "ASKED, ask",
    ASKED: "ASKED",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED_ASKED",
    SERVED_ASKED: "SERVED_ASKED",
    CLOSED: "CLOSED",
  },
  timePassed: {
    IDLE: "ASKED, ask",
    ASKED: "ASKED",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED_ASKED",
    SERVED_ASKED: "SERVED_ASKED",
    CLOSED: "CLOSED",
  },
};

for (const [input, row] of Object.entries(CELLS)) {
  for (const state of STATES) {
    test(`${input} while ${state}`, () => {
      const talk = new Talk();
      REACHED[state](talk);
      assert.equal(talk.state, state);
      talk.log.splice(0);
      const warnings = overheard(() => INPUTS[input](talk)).map(() => "warn");
      assert.equal([talk.state, ...talk.log, ...warnings].join(", "), row[state]);
    });
  }
}

test("the table has every input in every state, and every method is in some row", () => {
  assert.deepEqual(Object.keys(CELLS), Object.keys(INPUTS));
  for (const row of Object.values(CELLS)) assert.deepEqual(Object.keys(row), STATES);
  const called = new Set();
  const plain = [Subscription, Store, Topic].flatMap(({ name: owner, prototype }) =>
    Object.entries(Object.getOwnPropertyDescriptors(prototype))
      .filter(([name, { value }]) => value && name !== "constructor")
      .map(([name, method]) => ({ owner, prototype, name, method })),
  );
  for (const { owner, prototype, name, method } of plain) {
    prototype[name] = function (...args) {
      called.add(`${owner}.${name}`);
      return method.value.apply(this, args);
    };
  }
  for (const input of Object.values(INPUTS)) {
    for (const reach of Object.values(REACHED)) {
      const talk = new Talk();
      reach(talk);
      overheard(() => input(talk));
    }
  }
  for (const { prototype, name, method } of plain) Object.defineProperty(prototype, name, method);
  const names = plain.map(({ owner, name }) => `${owner}.${name}`);
  const silent = names.filter((name) => !called.has(name));
  assert.deepEqual(silent.sort(), ELSEWHERE);
});

test("nobody but a subscription, its store and its topic writes their fields", () => {
  const { subscription } = new Talk();
  const fields = [subscription, subscription._store, subscription._topic].flatMap(Object.keys);
  assert.ok(fields.length > 3);
  const writes = new RegExp(`(?<!this)\\.(${fields.join("|")}) (?:[|&?+-]{0,2}=)(?!=)`);
  const folder = new URL("../src/", import.meta.url);
  for (const name of readdirSync(folder, { recursive: true }).map(String)) {
    if (name.endsWith(".js")) {
      assert.doesNotMatch(readFileSync(new URL(name, folder), "utf8"), writes, name);
    }
  }
});
