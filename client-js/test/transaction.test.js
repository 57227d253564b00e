import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE } from "../src/sync/transaction.js";
import { start } from "./surroundings.js";

const row = (n) => ({ id: 1, n });
const update = (n) => ({ action: "update", payload: row(n), cursor: `c${n}` });

/** Two collections, filled; `pairs` has what each step showed of both. */
function two() {
  const session = start();
  const { io, socket } = session;
  const orders = io.collection("orders");
  const stock = io.collection("stock");
  socket().opens();
  socket().accepts("orders", [row(1)], { ref: 1 });
  socket().accepts("stock", [row(1)], { ref: 2 });
  /** @type {any[][]} */
  const pairs = [];
  const look = () => pairs.push([orders.rows[0].n, stock.rows[0].n]);
  orders.subscribe(look);
  stock.subscribe(look);
  return { ...session, orders, stock, pairs };
}

/** Lose the connection and open the next one; both are accepted again. */
function reconnect({ socket, clock }) {
  socket().ends();
  clock.pass(125);
  const { messages } = socket().opens();
  for (const { event, data } of messages.filter(({ event }) => !event.startsWith("$"))) {
    socket().says("$subscribed", { ref: data.ref, event, params: {}, key: "id" });
  }
}

test("without marks each frame is shown at once", () => {
  const { socket, pairs } = two();
  socket().says("orders", update(2));
  socket().says("stock", update(2));
  assert.deepEqual(pairs, [
    [2, 1],
    [2, 2],
  ]);
});

test("between $begin and $commit nothing is shown, then all of it", () => {
  const { socket, pairs, orders, clock } = two();
  socket().says("$begin");
  socket().says("orders", update(2));
  assert.equal(orders.get(1).n, 1);
  socket().says("stock", update(2));
  assert.deepEqual(pairs, []);
  socket().says("$commit", { state: "s" });
  assert.deepEqual(pairs, [
    [2, 2],
    [2, 2],
  ]);
  socket().says("orders", update(3));
  assert.deepEqual(pairs.at(-1), [3, 2]);
  clock.pass(PATIENCE);
  assert.equal(pairs.length, 3);
});

test("several changes of one collection before its mark are one step", () => {
  const { socket, pairs } = two();
  socket().says("$begin");
  socket().says("orders", update(2));
  socket().says("orders", update(3));
  socket().says("$commit");
  assert.deepEqual(pairs, [[3, 1]]);
});

test("a mark that does not come holds nothing back for ever", () => {
  const { socket, pairs, clock } = two();
  socket().says("$begin");
  socket().says("orders", update(2));
  clock.pass(PATIENCE - 1);
  assert.deepEqual(pairs, []);
  clock.pass(1);
  assert.deepEqual(pairs, [[2, 1]]);
  socket().says("stock", update(2));
  assert.deepEqual(pairs.at(-1), [2, 2]);
});

test("back from a lost connection, collections are shown when the last has its answer", () => {
  const session = two();
  const { socket, pairs, orders } = session;
  reconnect(session);
  pairs.splice(0);
  socket().says("orders", update(2));
  assert.deepEqual([pairs, orders.status], [[], "stale"]);
  socket().says("stock", update(2));
  assert.deepEqual(pairs, [
    [2, 2],
    [2, 2],
  ]);
  assert.equal(orders.status, "live");
});

test("an answer in pages counts when its last page is here", () => {
  const session = two();
  const { socket, pairs } = session;
  reconnect(session);
  pairs.splice(0);
  socket().says("orders", update(2));
  const page = { action: "sync", payload: [], pages: 2 };
  socket().says("stock", { ...page, page: 1 });
  assert.deepEqual(pairs, []);
  socket().says("stock", { ...page, page: 2, payload: [row(2)], cursor: "c2" });
  assert.deepEqual(pairs.at(-1), [2, 2]);
});

for (const [name, answer] of Object.entries({
  "a refusal": { action: "error", payload: { code: "forbidden" } },
  "an error that passes": { action: "error", payload: { code: "unavailable" } },
})) {
  test(`${name} is an answer too`, () => {
    const { socket, pairs, clock } = two();
    socket().ends();
    clock.pass(125);
    const [, orders, stock] = socket().opens().messages;
    pairs.splice(0);
    socket().says("$subscribed", { ref: orders.data.ref, event: "orders", params: {}, key: "id" });
    socket().says("orders", update(2));
    assert.deepEqual(pairs, []);
    socket().says("stock", { ...answer, ref: stock.data.ref });
    assert.deepEqual(pairs.at(-1), [2, 1]);
  });
}

for (const [name, leave] of Object.entries({
  "one that the server ends": ({ socket }) =>
    socket().says("stock", { action: "disconnect", code: "revoked" }),
  "one that is closed": ({ stock }) => stock.close(),
  "one that is stale": ({ socket }) => socket().says("stock", { action: "stale" }),
  "one without an answer, after a while": ({ clock }) => clock.pass(PATIENCE),
})) {
  test(`${name} is not waited for`, () => {
    const session = two();
    const { socket, pairs } = session;
    reconnect(session);
    pairs.splice(0);
    socket().says("orders", update(2));
    assert.deepEqual(pairs, []);
    leave(session);
    assert.deepEqual(pairs.at(-1), [2, 1]);
  });
}

test("half a transaction that a lost connection cut off is not shown without the rest", () => {
  const session = two();
  const { socket, pairs, orders, clock } = session;
  socket().says("$begin");
  socket().says("orders", update(2));
  socket().ends();
  assert.deepEqual([orders.status, orders.get(1).n], ["stale", 1]);
  clock.pass(100);
  assert.equal(orders.get(1).n, 1);
  clock.pass(25);
  socket().opens();
  const [, first, second] = socket().messages;
  assert.equal(first.data.cursor, "c2");
  pairs.splice(0);
  for (const { event, data } of [first, second]) {
    socket().says("$subscribed", { ref: data.ref, event, params: {}, key: "id" });
  }
  socket().says("orders", { action: "ok", cursor: "c2" });
  assert.equal(pairs.length, 0);
  socket().says("stock", update(2));
  assert.deepEqual(pairs.at(-1), [2, 2]);
  assert.ok(pairs.every(([a, b]) => a === b));
});

test("a subscription without collections is not waited for", () => {
  const { io, socket, clock } = start();
  io.emit("users");
  const orders = io.collection("orders");
  socket().opens();
  socket().accepts("users", [], { ref: 1 });
  socket().accepts("orders", [row(1)], { ref: 2 });
  socket().ends();
  clock.pass(125);
  const ref = socket().opens().messages.at(-1).data.ref;
  socket().says("$subscribed", { ref, event: "orders", params: {}, key: "id" });
  socket().says("orders", update(2));
  assert.equal(orders.get(1).n, 2);
});

test("a collection that is opened between the marks is shown at the second", () => {
  const { io, socket } = start();
  io.emit("orders");
  socket()
    .opens()
    .accepts("orders", [row(1)]);
  socket().says("$begin");
  socket().says("orders", update(2));
  const orders = io.collection("orders");
  assert.equal(orders.status, "connecting");
  socket().says("$commit");
  assert.equal(orders.get(1).n, 2);
});
