import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { endTurn, overheard, start, startSubscribed } from "./surroundings.js";

const [A, B, C] = [1, 2, 3].map((id) => ({ id, tags: ["x"] }));
const copy = (value) => structuredClone(value);
const update = (payload, cursor, more) => ({ action: "update", payload, cursor, ...more });
const error = (code, more) => ({ action: "error", payload: { code, detail: "why" }, ...more });

/**
 * A collection of products, filled, and a count of its steps.
 * @param {any[]} [rows]
 * @param {Record<string, any>} [options]
 */
function filled(rows = [A, B], options = {}) {
  const session = start(options);
  const products = session.io.collection("products");
  session.socket().opens().accepts("products", copy(rows));
  const steps = [];
  products.subscribe(() => steps.push(products.rows));
  return { ...session, products, steps };
}

const asks = (socket) => socket().messages.filter(({ event }) => !event.startsWith("$"));

test("a collection connects, subscribes and follows", () => {
  const { io, socket } = start();
  const products = io.collection("products", { category: 3 });
  assert.equal(io.status, "connecting");
  assert.deepEqual([products.rows, products.status, products.error], [[], "connecting", null]);
  socket().opens();
  assert.deepEqual(socket().messages, [
    { event: "$hello", data: { want: ["commit", "begin"] } },
    { event: "products", data: { params: { category: 3 }, ref: 1 } },
  ]);
  socket().accepts("products", [A, B], { params: { category: 3 } });
  assert.deepEqual([products.rows, products.status], [[A, B], "live"]);
});

test("each step is one call, and a new array in which other rows are the same objects", () => {
  const { products, steps, socket } = filled();
  const before = products.rows;
  socket().says("products", update({ id: 2, tags: [] }, "c2"));
  assert.deepEqual(products.rows, [A, { id: 2, tags: [] }]);
  assert.notEqual(products.rows, before);
  assert.equal(products.rows[0], before[0]);
  const payload = [
    { action: "delete", payload: { id: 1 } },
    { action: "create", payload: C, after: null },
    { action: "update", payload: B, after: 3 },
  ];
  socket().says("products", { action: "batch", payload, cursor: "c3" });
  assert.deepEqual(products.rows, [C, B]);
  assert.equal(steps.length, 2);
});

test("rows keep their order when they move", () => {
  const { products, socket } = filled([A, B, C]);
  const [a, , c] = products.rows;
  socket().says("products", update(copy(C), "c2", { after: null }));
  assert.deepEqual(products.rows, [C, A, B]);
  assert.equal(products.rows[0], c);
  assert.equal(products.rows[1], a);
});

test("an equal row that is repeated is no step", () => {
  const { products, steps, socket } = filled();
  const before = products.rows;
  socket().says("products", update(copy(B), "c2"));
  socket().says("products", { action: "sync", payload: copy([A, B]), cursor: "c3" });
  socket().says("products", { action: "ok", cursor: "c4" });
  assert.equal(products.rows, before);
  assert.deepEqual(steps, []);
});

test("pages are one step", () => {
  const { products, steps, socket } = filled();
  socket().says("products", { action: "sync", page: 1, pages: 2, payload: [C] });
  assert.deepEqual(products.rows, [A, B]);
  socket().says("products", { action: "sync", page: 2, pages: 2, payload: [A], cursor: "c2" });
  assert.deepEqual(steps, [[C, A]]);
});

test("nobody who shares rows can put them in another order for all", () => {
  const { io, products, socket } = filled([B, A]);
  const other = io.collection("products");
  for (const change of [
    (rows) => rows.sort(({ id: a }, { id: b }) => a - b),
    (rows) => rows.reverse(),
    (rows) => rows.push(C),
    (rows) => rows.splice(0),
    (rows) => {
      rows[0] = C;
    },
  ]) {
    assert.throws(() => change(products.rows), TypeError);
  }
  assert.deepEqual(other.rows, [B, A]);
  assert.deepEqual(products.rows.toSorted?.(({ id: a }, { id: b }) => a - b) ?? [A, B], [A, B]);
  socket().says("products", update({ id: 3, tags: ["x"] }, "c2"));
  assert.throws(() => /** @type {any} */ (other.rows).sort(), TypeError);
  const initial = { rows: [A, B], cursor: "h1" };
  const begun = /** @type {any} */ (io.collection("orders", null, { initial }));
  assert.throws(() => begun.rows.reverse(), TypeError);
});

test("get finds by key, at the same step as rows", () => {
  const { products, socket } = filled([
    { id: 1, n: 0 },
    { id: "1", n: 5 },
  ]);
  assert.equal(products.get(1), products.rows[0]);
  assert.equal(products.get("1"), products.rows[1]);
  assert.equal(products.get(9), undefined);
  socket().says("products", update({ id: 1, n: 7 }, "c2"));
  assert.equal(products.get(1).n, 7);
});

test("subscribe is bound, counts each time, and its undo undoes one", () => {
  const { products, socket } = filled();
  const calls = [];
  const fn = () => calls.push(1);
  const { subscribe } = products;
  const [undo] = [subscribe(fn), subscribe(fn)];
  socket().says("products", update({ id: 1 }, "c2"));
  assert.equal(calls.length, 2);
  undo();
  undo();
  socket().says("products", update({ id: 1, n: 2 }, "c3"));
  assert.equal(calls.length, 3);
});

test("a subscriber that throws harms nobody", () => {
  const { io, socket } = start();
  const products = io.collection("products");
  products.subscribe(() => {
    throw new Error("mine");
  });
  let calls = 0;
  products.subscribe(() => {
    calls += 1;
  });
  const lines = overheard(() => socket().opens().accepts("products", [A]));
  assert.deepEqual([calls, lines[0].message], [1, "mine"]);
});

test("status: stale at the server's word and without a connection, live again after an answer", () => {
  const { products, steps, socket, clock } = filled();
  socket().says("products", { action: "stale" });
  assert.equal(products.status, "stale");
  socket().says("products", { action: "ok", cursor: "c2" });
  assert.equal(products.status, "live");
  socket().ends();
  assert.equal(products.status, "stale");
  clock.pass(125);
  socket().opens();
  assert.deepEqual(asks(socket)[0].data, { cursor: "c2", held: [1, 2], ref: 2 });
  socket().says("$subscribed", { ref: 2, event: "products", params: {}, key: "id" });
  assert.equal(products.status, "stale");
  socket().says("products", { action: "ok", cursor: "c3" });
  assert.equal(products.status, "live");
  assert.equal(steps.length, 4);
});

test("status: connecting until there are rows, whatever happens", () => {
  const { io, socket, clock } = start();
  const products = io.collection("products");
  socket().opens().ends();
  assert.equal(products.status, "connecting");
  clock.pass(125);
  socket().opens().says("$subscribed", { ref: 2, event: "products", params: {}, key: "id" });
  socket().says("products", { action: "stale" });
  assert.equal(products.status, "connecting");
  socket().says("products", { action: "sync", payload: [], cursor: "c1" });
  assert.deepEqual([products.status, products.rows], ["live", []]);
});

test("a frame that cannot be applied makes it stale, until the fresh sync", () => {
  const { products, socket, clock } = filled();
  overheard(() => socket().says("products", update({ no: "key" }, "c2")));
  assert.equal(products.status, "stale");
  clock.pass(1_000);
  socket().accepts("products", [A, B, C], { cursor: "c3" });
  assert.deepEqual([products.status, products.rows.length], ["live", 3]);
});

test("equal event and params share one subscription, and its rows", () => {
  const { io, products, socket } = filled();
  const again = io.collection("products", {});
  assert.equal(again.rows, products.rows);
  assert.equal(again.status, "live");
  assert.equal(asks(socket).length, 1);
  products.close();
  assert.equal(asks(socket).length, 1);
  socket().says("products", update({ id: 1 }, "c2"));
  assert.deepEqual(again.rows[0], { id: 1 });
  assert.deepEqual(products.rows[0], A);
  again.close();
  assert.deepEqual(asks(socket)[1].data, { disconnect: true, ref: 2 });
});

test("a closed collection tells nobody, and closing twice closes once", () => {
  const { io, products, steps, socket, clock } = filled();
  const other = io.collection("products");
  products.close();
  products.close();
  assert.equal(products.status, "closed");
  socket().says("products", update({ id: 1 }, "c2"));
  assert.deepEqual(steps, []);
  other.close();
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.deepEqual(asks(socket), []);
});

test("what is closed and opened again at once goes on with its rows", async () => {
  const { io, products, socket } = filled();
  products.close();
  const again = io.collection("products");
  assert.deepEqual([again.status, again.rows], ["live", products.rows]);
  assert.equal(await again.ready, products.rows);
  assert.equal(asks(socket).length, 1);
});

test("what is closed may be opened again a moment later", () => {
  const { io, products, socket } = filled();
  products.close();
  endTurn();
  const again = io.collection("products");
  assert.equal(again.status, "connecting");
  socket().says("products", { action: "disconnect", ref: 2 });
  socket().accepts("products", [A], { ref: 3 });
  assert.deepEqual(again.rows, [A]);
});

test("closing a collection leaves io.emit's subscription alone", () => {
  const { io, socket, take } = startSubscribed([A]);
  const products = io.collection("products");
  assert.deepEqual(products.rows, [A]);
  products.close();
  assert.equal(asks(socket).length, 1);
  socket().says("products", update({ id: 1 }, "c2"));
  assert.equal(take().length, 1);
});

test("emit's disconnect ends emit's hold, and the collection goes on", () => {
  const { io, products, socket, listen, take } = filled();
  listen("products");
  io.emit("products");
  socket().accepts("products", [A, B], { cursor: "c2" });
  assert.equal(take().length, 1);
  io.emit("products", { disconnect: true });
  assert.deepEqual(take(), [["products", { action: "disconnect", params: undefined }]]);
  assert.equal(asks(socket).length, 2);
  socket().says("products", update({ id: 1 }, "c3"));
  assert.deepEqual(products.rows[0], { id: 1 });
  assert.deepEqual(take(), []);
  products.close();
  assert.equal(asks(socket)[2].data.disconnect, true);
});

test("emit's disconnect by params that only the server knows for the same: asked for again", () => {
  const { io, socket } = start();
  const products = io.collection("products", { category: 3 });
  const params = { category: 3 };
  socket().opens().accepts("products", [A], { params });
  io.emit("products", { params: { category: "3" }, disconnect: true });
  socket().says("products", { action: "disconnect", ref: 2, params });
  assert.deepEqual(asks(socket)[2].data, { params, ref: 3 });
  socket().accepts("products", [A, B], { params });
  assert.deepEqual([products.status, products.rows.length], ["live", 2]);
});

test("listeners of io.on hear nothing of what was not asked for by io.emit", () => {
  const { products, socket, listen, take } = filled();
  listen("products");
  socket().says("products", update({ id: 1 }, "c2"));
  products.close();
  socket().says("products", { action: "disconnect", ref: 2 });
  assert.deepEqual(take(), []);
});

test("two asks that the server takes for one become one, for all who hold them", () => {
  const { io, socket } = start();
  const params = { category: 3 };
  const first = io.collection("products", params);
  socket().opens().accepts("products", [A, B], { params });
  const [a] = first.rows;
  const second = io.collection("products", { category: "3" });
  socket().says("$subscribed", { ref: 2, event: "products", params, key: "id" });
  assert.deepEqual(first.rows, [A, B]);
  socket().says("products", { action: "sync", payload: copy([A, C]), params, cursor: "c2" });
  assert.deepEqual(first.rows, [A, C]);
  assert.equal(first.rows, second.rows);
  assert.equal(first.rows[0], a);
  first.close();
  assert.equal(asks(socket).length, 2);
  second.close();
  assert.equal(asks(socket).length, 3);
});

test("a refusal closes it: error says why, and ready rejects with it", async () => {
  const { io, socket } = start();
  const products = io.collection("products");
  let steps = 0;
  products.subscribe(() => {
    steps += 1;
  });
  socket()
    .opens()
    .says("products", error("forbidden", { ref: 1 }));
  assert.equal(products.status, "closed");
  assert.equal(products.error.code, "forbidden");
  assert.equal(products.error.detail, "why");
  assert.equal(steps, 1);
  await assert.rejects(products.ready, { code: "forbidden" });
  products.close();
  assert.equal(asks(socket).length, 1);
});

test("the server's end closes it, with its last rows", () => {
  const { io, products, socket } = filled();
  socket().says("products", { action: "disconnect", code: "revoked" });
  assert.deepEqual([products.status, products.error.code], ["closed", "revoked"]);
  assert.deepEqual(products.rows, [A, B]);
  const again = io.collection("products");
  assert.equal(again.status, "connecting");
  assert.equal(asks(socket).length, 2);
});

for (const code of ["internal", "unavailable", "rate_limited"]) {
  test(`ended with ${code}: rows stay, and it is asked for again until it heals`, async () => {
    const { products, socket, clock } = filled();
    const { rows } = products;
    for (const wait of [1_000, 1_500, 2_500]) {
      const { ref } = asks(socket).at(-1).data;
      const count = asks(socket).length;
      socket().says("products", error(code, { ref }));
      socket().says("products", { action: "disconnect", code });
      const { detail, passing } = products.error;
      assert.deepEqual([products.error.code, detail, passing], [code, "why", true]);
      assert.deepEqual([products.status, products.rows], ["stale", rows]);
      assert.equal(products.rows, rows);
      clock.pass(wait - 1);
      assert.equal(asks(socket).length, count);
      clock.pass(1);
      assert.deepEqual(asks(socket).at(-1).data, { cursor: "c1", held: [1, 2], ref: ref + 1 });
      socket().says("$subscribed", { ref: ref + 1, event: "products", params: {}, key: "id" });
    }
    socket().says("products", { action: "ok", cursor: "c2" });
    assert.deepEqual([products.status, products.error, products.rows], ["live", null, rows]);
  });
}

test("a first load that fails behind its acceptance: ready waits, and is told why", async () => {
  const { io, socket, clock } = start();
  const products = io.collection("products");
  let steps = 0;
  products.subscribe(() => {
    steps += 1;
  });
  socket().opens();
  for (const turn of [1, 2]) {
    const ref = turn;
    socket().says("$subscribed", { ref, event: "products", params: {}, key: "id" });
    socket().says("products", error("internal", { ref }));
    socket().says("products", { action: "disconnect", code: "internal" });
    assert.deepEqual([products.status, products.error.detail], ["connecting", "why"]);
    assert.equal(steps, turn);
    clock.pass(1_500);
  }
  socket().accepts("products", [A]);
  assert.deepEqual(await products.ready, [A]);
  assert.equal(products.error, null);
});

test("what ended for a while and is closed meanwhile is not asked for again", () => {
  const { products, socket, clock } = filled();
  socket().says("products", { action: "disconnect", code: "internal" });
  products.close();
  clock.pass(10_000);
  assert.equal(asks(socket).length, 1);
});

test("an explanation is of the end that follows it, and of no later one", () => {
  const { products, socket, clock } = filled();
  const ends = (code) => socket().says("products", { action: "disconnect", code });
  socket().says("products", error("internal", { ref: 1 }));
  ends("unavailable");
  assert.deepEqual([products.error.code, products.error.detail], ["unavailable", ""]);
  clock.pass(1_000);
  socket().accepts("products", [A]);
  ends("internal");
  assert.deepEqual([products.error.code, products.error.detail], ["internal", ""]);
});

for (const code of ["too_large", "revoked", "expired", "forbidden", "invalid_params"]) {
  test(`ended with ${code}, explained: closed for good, and its detail is told`, async () => {
    const { io, socket, clock } = start();
    const products = io.collection("products");
    socket().opens().says("$subscribed", { ref: 1, event: "products", params: {}, key: "id" });
    socket().says("products", error(code, { ref: 1 }));
    socket().says("products", { action: "disconnect", code });
    const { detail, passing } = products.error;
    assert.deepEqual([products.status, detail, passing], ["closed", "why", false]);
    await assert.rejects(products.ready, { code });
    clock.pass(19_000);
    assert.equal(asks(socket).length, 1);
  });
}

test("an error that passes is shown until it has passed", async () => {
  const { io, socket, clock } = start();
  const products = io.collection("products");
  socket()
    .opens()
    .says("products", error("unavailable", { ref: 1 }));
  assert.deepEqual([products.status, products.error.code], ["connecting", "unavailable"]);
  clock.pass(1_000);
  socket().accepts("products", [A]);
  assert.deepEqual([products.status, products.error], ["live", null]);
  assert.deepEqual(await products.ready, [A]);
});

test("ready resolves to the first rows, and rejects when it is closed before", async () => {
  const { io, socket } = start();
  const [one, two] = [io.collection("products"), io.collection("products")];
  two.close();
  socket().opens().accepts("products", [A]);
  assert.deepEqual(await one.ready, [A]);
  assert.deepEqual(await io.collection("products").ready, [A]);
  await assert.rejects(two.ready, { code: "closed" });
});

test("a rejection that nobody looks at is no unhandled one", async (t) => {
  const seen = [];
  const note = (reason) => seen.push(reason);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  start().io.collection("products").close();
  await setImmediate();
  assert.deepEqual(seen, []);
});

for (const [code, word] of [
  [4401, "unauthenticated"],
  [4403, "forbidden"],
]) {
  test(`closed with ${code}: the error says so, until connect() helps`, async () => {
    const { io, products, socket } = filled();
    const other = io.collection("orders");
    socket().ends(code, "why");
    assert.deepEqual([products.status, products.error.code], ["stale", word]);
    assert.deepEqual([other.status, other.error.detail], ["connecting", "why"]);
    await assert.rejects(other.ready, { code: word });
    io.connect();
    socket().opens().says("$subscribed", { ref: 3, event: "products", params: {}, key: "id" });
    socket().says("products", { action: "ok", cursor: "c2" });
    assert.deepEqual([products.status, products.error], ["live", null]);
  });
}

test("io.close() makes it stale, without an error", () => {
  const { io, products } = filled();
  io.close();
  assert.deepEqual([products.status, products.error], ["stale", null]);
});

test("a programmer's mistake raises", () => {
  const { io, sockets } = start();
  for (const event of ["", "$ping", "connect", undefined]) {
    assert.throws(() => io.collection(event), TypeError);
  }
  assert.throws(() => io.collection("products", []), TypeError);
  assert.throws(() => io.collection("products", null, { page_size: -1 }), TypeError);
  assert.throws(() => io.collection("products", null, { initial: { rows: {} } }), TypeError);
  assert.equal(sockets.length, 0);
});

test("hello is said once for each connection, and only with collections", () => {
  const { io, socket, clock } = startSubscribed([A]);
  const hellos = () => socket().messages.filter(({ event }) => event === "$hello").length;
  assert.equal(hellos(), 0);
  io.collection("products");
  io.collection("orders");
  assert.equal(hellos(), 1);
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.equal(hellos(), 1);
  assert.equal(socket().messages[0].event, "$hello");
});
