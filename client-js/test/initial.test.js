import assert from "node:assert/strict";
import { test } from "node:test";
import { start } from "./surroundings.js";

const [A, B] = [1, 2].map((id) => ({ id }));

/** A collection that begins with an HTTP snapshot; the connection is open. */
function begun(initial, options = {}) {
  const session = start();
  const products = session.io.collection("products", null, { initial, ...options });
  const shown = { rows: products.rows, status: products.status };
  session.socket().opens();
  return { ...session, products, shown };
}

const subscribed = (socket, key = "id") =>
  socket().says("$subscribed", { ref: 1, event: "products", params: {}, key });

test("rows of a snapshot are shown at once, as stale, and asked for from there", () => {
  const rows = [A, B];
  const { shown, socket } = begun({ rows, cursor: "h1" });
  assert.deepEqual(shown, { rows, status: "stale" });
  assert.equal(shown.rows, rows);
  assert.deepEqual(socket().messages[1].data, { cursor: "h1", held: [1, 2], ref: 1 });
});

test("ok: the same rows, live", async () => {
  const rows = [A, B];
  const { products, socket } = begun({ rows, cursor: "h1" });
  subscribed(socket);
  assert.equal(products.status, "stale");
  socket().says("products", { action: "ok", cursor: "c2" });
  assert.equal(products.rows, rows);
  assert.equal(products.status, "live");
  assert.equal(await products.ready, rows);
});

test("the difference: one step", () => {
  const { products, socket } = begun({ rows: [A, B], cursor: "h1" });
  subscribed(socket);
  const payload = [
    { action: "delete", payload: { id: 1 } },
    { action: "create", payload: { id: 3 }, after: null },
  ];
  socket().says("products", { action: "batch", payload, cursor: "c2" });
  assert.deepEqual(products.rows, [{ id: 3 }, B]);
  assert.equal(products.rows[1], B);
});

test("sync: equal rows stay the same objects", () => {
  const { products, socket } = begun({ rows: [A, B], cursor: "h1" });
  subscribed(socket);
  socket().says("products", { action: "sync", payload: [{ id: 2 }, { id: 3 }], cursor: "c2" });
  assert.deepEqual(products.rows, [{ id: 2 }, { id: 3 }]);
  assert.equal(products.rows[0], B);
});

test("a key of another name: the snapshot stands until the sync", () => {
  const rows = [{ id: 1, code: "a" }];
  const { products, socket } = begun({ rows, cursor: "h1" });
  subscribed(socket, "code");
  assert.deepEqual(socket().messages[2].data, { ref: 2 });
  socket().says("products", { action: "stale" });
  assert.equal(products.rows, rows);
  socket().accepts("products", [{ id: 1, code: "b" }], { key: "code" });
  assert.equal(products.get("b").id, 1);
});

test("the key's name may be told", () => {
  const { socket } = begun({ rows: [{ code: "a" }], cursor: "h1", key: "code" });
  assert.deepEqual(socket().messages[1].data, { cursor: "h1", held: ["a"], ref: 1 });
});

for (const [name, initial] of Object.entries({
  "no cursor": { rows: [A] },
  "a cursor that could not be read": { rows: [A], cursor: null },
  "rows without a key": { rows: [{ name: "x" }], cursor: "h1" },
  "rows that are none": { rows: [null], cursor: "h1" },
})) {
  test(`${name}: shown, and asked for in full`, () => {
    const { shown, products, socket } = begun(initial);
    assert.deepEqual(shown, { rows: initial.rows, status: "stale" });
    assert.deepEqual(socket().messages[1].data, { ref: 1 });
    socket().accepts("products", [B]);
    assert.deepEqual([products.rows, products.status], [[B], "live"]);
  });
}

test("where rows are held already, a snapshot is passed over", () => {
  const { io, products, socket } = begun({ rows: [A], cursor: "h1" });
  const again = io.collection("products", null, { initial: { rows: [B], cursor: "h0" } });
  assert.equal(again.rows, products.rows);
  assert.equal(socket().messages.length, 2);
});
