/** By chance: whatever is opened and closed, in the end the server holds what is wanted, and no more. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BURST } from "../src/connection/throttle.js";
import { start } from "./surroundings.js";

const REFUSAL = { action: "error", payload: { code: "rate_limited", detail: "" } };

/** A server with a small allowance, to which 3 and "3" are one; it answers when it is told to. */
class Server {
  held = new Set();
  #socket;
  #heard = 0;
  #left = 6;
  #at = 0;
  constructor(socket, clock, names) {
    this.#socket = socket;
    this.clock = clock;
    this.names = names;
  }

  /** @param {number} count how many messages it hears. */
  hear(count) {
    for (; count > 0 && this.#heard < this.#socket.sent.length; count -= 1) {
      const { event, data } = JSON.parse(this.#socket.sent[this.#heard]);
      this.#heard += 1;
      if (event === "$ping") this.#socket.says("$pong", data);
      if (event === "products") this.#take(event, data);
    }
  }

  /** Refuse a message that is none of those looked at here. */
  refuse() {
    this.#socket.says("$error", REFUSAL);
  }

  #take(event, { ref, disconnect, params }) {
    const key = Number(params.n);
    if (!this.#allows()) {
      this.names ? this.#socket.says(event, { ...REFUSAL, ref }) : this.refuse();
    } else if (disconnect) {
      this.held.delete(key);
      this.#socket.says(event, { action: "disconnect", ref, params: { n: key } });
    } else {
      this.held.add(key);
      this.#socket.says("$subscribed", { ref, event, params: { n: key }, key: "id" });
      const rows = [{ id: key }];
      this.#socket.says(event, { action: "sync", payload: rows, params: { n: key }, cursor: "c" });
    }
  }

  #allows() {
    const now = this.clock.now();
    this.#left = Math.min(6, this.#left + ((now - this.#at) / 1_000) * 8);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

const n = fc.constantFrom(1, 2, 3, 4, 5, 6, "1", "2", "3", "4", "5", "6");
const act = fc.oneof(
  { weight: 5, arbitrary: fc.record({ does: fc.constant("open"), n }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant("close"), which: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant("emit"),
      n: fc.constantFrom(6, 7),
      disconnect: fc.boolean(),
    }),
  },
  { weight: 5, arbitrary: fc.record({ does: fc.constant("hear"), count: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("pass"), time: fc.nat(700) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("lose") }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("fill") }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("refuse") }) },
);

/**
 * One was left, an unnamed refusal meant its ask and not its leave, and another that the server takes
 * for the same is wanted still: the leave's answer ends its stream.
 */
const STILL_LEFT = [
  { does: "fill" },
  { does: "open", n: "6" },
  { does: "pass", time: 200 },
  { does: "emit", n: 6, disconnect: false },
  { does: "open", n: 1 },
  ...Array(4).fill({ does: "emit", n: 6, disconnect: false }),
  { does: "emit", n: 6, disconnect: true },
  { does: "hear", count: 8 },
];

/** Two are asked for that the server will take for one, and both are given up while it has answered one. */
const ONE_ANSWERED = [
  { does: "open", n: "6" },
  { does: "emit", n: 6, disconnect: false },
  { does: "hear", count: 2 },
  { does: "close", which: 0 },
  { does: "emit", n: 6, disconnect: true },
];

/**
 * One was left, and left again after a refusal that did not mean it; between, another was asked for
 * that the server takes for the same: the second leave ends its stream, though the first is answered.
 */
const LEFT_TWICE = [
  { does: "open", n: "6" },
  { does: "emit", n: 6, disconnect: true },
  { does: "refuse" },
  { does: "pass", time: 50 },
];

/** The same, with an ask that the server had no room for: how it was found. */
const LEFT_TWICE_AMONG_OTHERS = [
  { does: "open", n: 1 },
  { does: "open", n: 4 },
  { does: "open", n: 3 },
  { does: "emit", n: 6, disconnect: false },
  { does: "emit", n: 7, disconnect: false },
  { does: "open", n: 2 },
  { does: "open", n: "1" },
  { does: "lose" },
  { does: "open", n: "6" },
  { does: "emit", n: 6, disconnect: true },
  { does: "hear", count: 4 },
  { does: "hear", count: 4 },
  { does: "pass", time: 375 },
];

const EXAMPLES = [
  STILL_LEFT,
  ONE_ANSWERED,
  [...ONE_ANSWERED].reverse(),
  LEFT_TWICE,
  LEFT_TWICE_AMONG_OTHERS,
];

/** What subscribers of a collection were last told. */
function follow(collection) {
  const look = () => [collection.rows, collection.status, collection.error];
  const each = {
    collection,
    known: look(),
    told: () => look().every((it, i) => it === each.known[i]),
  };
  collection.subscribe(() => {
    each.known = look();
  });
  return each;
}

for (const names of [true, false]) {
  test(`with refusals that name ${names ? "what they refuse" : "nothing"}`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 60, size: "max" }), async (acts) => {
        const { io, clock, socket, sockets } = start({ random: () => 0 });
        const open = [];
        const emitted = new Map();
        io.connect();
        let server;
        const meet = () => {
          server = new Server(socket().opens(), clock, names);
        };
        meet();
        /** @type {Record<string, (act: any) => void>} */
        const does = {
          open: ({ n }) => open.push(follow(io.collection("products", { n }))),
          close: ({ which }) => open.splice(which, 1)[0]?.collection.close(),
          emit: ({ n, disconnect }) => {
            io.emit("products", { params: { n }, disconnect });
            emitted.set(n, !disconnect);
          },
          hear: ({ count }) => server.hear(count),
          pass: ({ time }) => clock.pass(time),
          fill: () => {
            for (let count = 0; count < BURST; count += 1) io.emit("filler");
          },
          refuse: () => server.refuse(),
          lose: () => {
            socket().ends();
            clock.pass(0);
            meet();
          },
        };
        for (const each of acts) does[each.does](each);
        for (let turn = 0; turn < 60; turn += 1) {
          server.hear(100);
          clock.pass(500);
        }
        const count = sockets.length;
        const emits = [...emitted].filter(([, wanted]) => wanted).map(([n]) => n);
        const wanted = new Set([...emits, ...open.map(({ collection }) => collection.rows[0]?.id)]);
        for (const { collection, told } of open) {
          assert.deepEqual([collection.status, collection.error], ["live", null]);
          assert.ok(told(), "subscribers know what is shown");
          await collection.ready;
        }
        assert.deepEqual([...server.held].sort(), [...wanted].sort());
        assert.equal(sockets.length, count);
        io.close();
        assert.equal(clock.pending, 0);
      }),
      { numRuns: 300, examples: EXAMPLES.map((acts) => [acts]) },
    );
  });
}
