/** Subscriptions that the server takes for one: whoever holds them is told, whatever the road. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE } from "../src/sync/transaction.js";
import { endTurn, start } from "./surroundings.js";

const [A, B] = [1, 2].map((id) => ({ id, name: `row ${id}` }));
const params = { category: 3 };
const asks = (socket) => socket().messages.filter(({ event }) => !event.startsWith("$"));
const error = (code, ref) => ({ action: "error", ref, payload: { code, detail: "why" } });
const states = ["rows", "status", "error"];

/** Follow a collection; `told` says whether its subscribers know what it shows. */
function follow(collection) {
  const look = () => states.map((name) => collection[name]);
  let known = look();
  let steps = 0;
  collection.subscribe(() => {
    known = look();
    steps += 1;
  });
  return {
    collection,
    get steps() {
      return steps;
    },
    told: () => look().every((each, index) => each === known[index]),
  };
}

/** Two collections that only the server knows for the same; `more` are options of the second. */
function pair(more = {}) {
  const session = start();
  const number = follow(session.io.collection("products", params));
  const open = () => follow(session.io.collection("products", { category: "3" }, more));
  const subscribed = (ref) =>
    session.socket().says("$subscribed", { ref, event: "products", params, key: "id" });
  const says = (data) => session.socket().says("products", { params, ...data });
  const synced = (rows = [A, B], cursor = "c1") => says({ action: "sync", payload: rows, cursor });
  return { ...session, number, open, subscribed, says, synced };
}

/** Both show the same, have said so to their subscribers, and are ready. */
async function agree(one, other, rows) {
  for (const each of [one, other]) {
    assert.deepEqual([each.collection.status, each.collection.rows], ["live", rows]);
    assert.ok(each.told(), "subscribers know what is shown");
    await each.collection.ready;
  }
  assert.equal(one.collection.rows, other.collection.rows);
}

test("joined to what is live: told at once, and ready", async () => {
  const { socket, number, open, subscribed, synced } = pair();
  socket().opens();
  subscribed(1);
  synced();
  const text = open();
  subscribed(2);
  assert.ok(text.told());
  assert.equal(text.steps, 1);
  synced();
  await agree(number, text, [A, B]);
  assert.deepEqual([number.steps, text.steps], [1, 1]);
});

for (const order of ["s1 a1 s2 a2", "s1 s2 a1 a2", "s1 s2 a2"]) {
  test(`asked for at once, answered as ${order}`, async () => {
    const { socket, number, open, subscribed, synced } = pair();
    const text = open();
    socket().opens();
    for (const [kind, ref] of order.split(" ")) {
      kind === "s" ? subscribed(Number(ref)) : synced();
    }
    await agree(number, text, [A, B]);
  });
}

test("the first one's error is no error of both when the second is served", async () => {
  const { socket, number, open, subscribed, says, synced, clock } = pair();
  const text = open();
  socket().opens();
  says(error("unavailable", 1));
  assert.equal(number.collection.error.code, "unavailable");
  subscribed(2);
  synced();
  assert.equal(text.collection.status, "live");
  clock.pass(1_000);
  subscribed(3);
  synced();
  await agree(number, text, [A, B]);
});

test("a refusal of the second leaves the first alone", async () => {
  const { socket, number, open, subscribed, says, synced } = pair();
  socket().opens();
  subscribed(1);
  synced();
  const text = open();
  says(error("invalid_params", 2));
  assert.deepEqual([text.collection.status, text.told()], ["closed", true]);
  await assert.rejects(text.collection.ready, { code: "invalid_params" });
  assert.equal(number.collection.status, "live");
});

test("joined, lost and back: both are told of each", async () => {
  const { socket, clock, number, open, subscribed, says, synced } = pair();
  socket().opens();
  subscribed(1);
  synced();
  const text = open();
  subscribed(2);
  synced();
  socket().ends();
  for (const each of [number, text]) {
    assert.deepEqual([each.collection.status, each.told()], ["stale", true]);
  }
  clock.pass(125);
  socket().opens();
  assert.equal(asks(socket).length, 1);
  subscribed(3);
  says({ action: "delete", payload: { id: 1 }, cursor: "c2" });
  await agree(number, text, [B]);
});

test("one that is back before the other is asked for again takes the other's rows along", async () => {
  const { socket, clock, number, open, subscribed, says, synced } = pair();
  socket().opens();
  subscribed(1);
  synced();
  socket().ends();
  clock.pass(125);
  const text = open();
  socket().opens();
  says(error("unavailable", 2));
  subscribed(3);
  assert.deepEqual(text.collection.rows, [A, B]);
  assert.ok(text.told());
  synced([B], "c2");
  await agree(number, text, [B]);
});

for (const close of ["before its answer", "after its answer"]) {
  test(`the first is closed ${close}: the stream that its end ends is asked for again`, async () => {
    const { socket, number, open, subscribed, says, synced } = pair();
    socket().opens();
    subscribed(1);
    synced();
    const text = open();
    endTurn();
    if (close === "after its answer") {
      subscribed(2);
      synced();
      number.collection.close();
      assert.equal(asks(socket).length, 2, "both are one: the other still wants it");
    } else {
      number.collection.close();
      assert.deepEqual(asks(socket)[2].data, { disconnect: true, params, ref: 3 });
      subscribed(2);
      synced();
      says({ action: "disconnect", ref: 3 });
      assert.deepEqual(asks(socket)[3].data, { params: { category: "3" }, ref: 4 });
      subscribed(4);
      synced();
    }
    says({ action: "create", payload: { id: 3 }, after: 2, cursor: "c5" });
    assert.deepEqual([text.collection.status, text.collection.rows.length], ["live", 3]);
    assert.ok(text.told());
  });
}

test("the first is left twice, and answered twice: the stream that the second ends is asked for again", () => {
  const { socket, number, clock, open, subscribed, says, synced } = pair();
  socket().opens();
  subscribed(1);
  synced();
  number.collection.close();
  const text = open();
  endTurn();
  socket().says("$error", error("rate_limited"));
  clock.pass(50);
  assert.deepEqual(
    asks(socket).map(({ data }) => [data.ref, data.disconnect ?? false]),
    [
      [1, false],
      [2, true],
      [3, false],
      [4, true],
    ],
  );
  says({ action: "disconnect", ref: 2 });
  subscribed(3);
  synced();
  assert.equal(text.collection.status, "live");
  says({ action: "disconnect", ref: 4 });
  assert.equal(text.collection.status, "stale");
  clock.pass(50);
  assert.deepEqual(asks(socket)[4].data, { params: { category: "3" }, ref: 5 });
  subscribed(5);
  synced();
  assert.equal(text.collection.status, "live");
});

test("the end of a closed one that the server took for another listener's: asked for again too", () => {
  const { io, socket, listen, take, number, subscribed, says, synced } = pair();
  listen("products");
  socket().opens();
  subscribed(1);
  synced();
  io.emit("products", { params: { category: "3" } });
  endTurn();
  number.collection.close();
  subscribed(2);
  synced();
  says({ action: "disconnect", ref: 3 });
  subscribed(4);
  synced([B], "c2");
  assert.deepEqual(
    take().map(([, { action, payload }]) => [action, payload.length]),
    [
      ["sync", 2],
      ["sync", 1],
    ],
  );
});

for (const cursor of ["h1", undefined]) {
  test(`begun with rows ${cursor ? "and a cursor" : "alone"}: nobody goes back from live rows`, async () => {
    const old = { id: 1, name: "old" };
    const { socket, clock, number, open, subscribed, says, synced } = pair({
      initial: { rows: [old], cursor },
    });
    socket().opens();
    subscribed(1);
    synced();
    const text = open();
    assert.deepEqual(text.collection.rows, [old]);
    subscribed(2);
    assert.deepEqual(number.collection.rows, [A, B]);
    clock.pass(PATIENCE);
    assert.deepEqual(number.collection.rows, [A, B]);
    assert.deepEqual(text.collection.rows, [A, B]);
    assert.ok(number.told() && text.told());
    if (cursor) {
      const payload = [
        { action: "update", payload: { ...A } },
        { action: "create", payload: { ...B }, after: 1 },
      ];
      says({ action: "batch", payload, cursor: "c2" });
    } else {
      synced([A, B], "c2");
    }
    await agree(number, text, [A, B]);
  });
}

test("joined between the marks: told behind the second", () => {
  const { socket, open, subscribed, says, synced } = pair();
  socket().opens();
  subscribed(1);
  synced();
  const text = open();
  socket().says("$begin");
  subscribed(2);
  says({ action: "update", payload: { id: 1, name: "new" }, cursor: "c2" });
  assert.equal(text.steps, 0);
  socket().says("$commit");
  assert.deepEqual([text.steps, text.collection.get(1).name], [1, "new"]);
});

test("three that are one", async () => {
  const { io, socket, number, open, subscribed, synced } = pair();
  const text = open();
  const third = follow(io.collection("products", { category: 3, extra: null }));
  socket().opens();
  for (const ref of [1, 2, 3]) {
    subscribed(ref);
    synced();
  }
  await agree(number, text, [A, B]);
  await agree(text, third, [A, B]);
  for (const each of [number, text]) each.collection.close();
  assert.equal(asks(socket).length, 3);
  third.collection.close();
  assert.equal(asks(socket).length, 4);
});
