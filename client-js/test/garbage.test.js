/** A server that says nothing, or nonsense: whoever waits is told, and it is tried again. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ANSWER } from "../src/connection/auth.js";
import { overheard, start } from "./surroundings.js";

const A = { id: 1 };
const accepted = { ref: 1, event: "products", params: {}, key: "id" };

/** A collection whose ask has been sent. */
function asked() {
  const session = start();
  const products = session.io.collection("products");
  session.socket().opens();
  let steps = 0;
  products.subscribe(() => {
    steps += 1;
  });
  const passes = (milliseconds) => {
    session.socket().says("$pong", 1);
    session.clock.pass(milliseconds);
  };
  return { ...session, products, passes, steps: () => steps };
}

for (const [name, says] of Object.entries({
  "and then says nothing": () => {},
  "and then says stale": (socket) => socket().says("products", { action: "stale" }),
})) {
  test(`a server that accepts ${name}: told, and the rows are welcome still`, async () => {
    const { socket, products, passes, steps } = asked();
    socket().says("$subscribed", accepted);
    says(socket);
    passes(ANSWER - 1);
    assert.equal(products.error, null);
    passes(1);
    assert.deepEqual([products.error.code, products.error.passing], ["unavailable", true]);
    assert.equal(steps(), 1);
    socket().says("products", { action: "sync", payload: [A], cursor: "c" });
    assert.deepEqual(await products.ready, [A]);
    socket().says("products", { action: "stale" });
    assert.deepEqual([products.status, products.error], ["stale", null]);
  });
}

test("what has its rows in time is not spoken of later", () => {
  const { socket, products, passes } = asked();
  socket().accepts("products", [A]);
  socket().says("products", { action: "stale" });
  passes(ANSWER);
  assert.deepEqual([products.status, products.error], ["stale", null]);
});

for (const payload of [undefined, null, "no", 7, [], {}]) {
  test(`a refusal that says ${JSON.stringify(payload)}: told, and asked again`, () => {
    const { socket, products, clock } = asked();
    assert.deepEqual(
      overheard(() => socket().says("products", { action: "error", ref: 1, payload })),
      [],
    );
    assert.deepEqual([products.error.code, products.error.passing], ["internal", true]);
    clock.pass(1_000);
    socket().accepts("products", [A]);
    assert.deepEqual([products.status, products.error], ["live", null]);
  });
}

test("rows without their key, again and again: told, and asked again later each time", () => {
  const { socket, products, clock } = asked();
  for (const wait of [1_000, 1_500, 2_500]) {
    const count = socket().sent.length;
    const lines = overheard(() => socket().accepts("products", [{ name: "no key" }]));
    assert.equal(lines.length, 1);
    assert.deepEqual([products.status, products.error.code], ["connecting", "internal"]);
    assert.match(products.error.detail, /no key/);
    clock.pass(wait - 1);
    assert.equal(socket().sent.length, count);
    clock.pass(1);
    assert.equal(socket().sent.length, count + 1);
  }
});

for (const says of [
  "<html>",
  "[]",
  "null",
  '{"event":7}',
  '{"event":"products","data":{"ref":1}}',
]) {
  test(`a server that answers ${says} alone: told when its time is over`, () => {
    const { socket, products, passes } = asked();
    overheard(() => socket().saysText(says));
    passes(ANSWER);
    assert.equal(products.error.code, "unavailable");
  });
}

for (const code of [1000, 1002, 1006, 1008, 1011, 1012, 1013, 4400, 4408, 4429]) {
  test(`closed with ${code} as soon as it opens: told each time, and it comes back`, () => {
    const { io, clock, socket, sockets } = start();
    const products = io.collection("products");
    for (let turn = 1; turn < 4; turn += 1) {
      socket().opens().ends(code);
      assert.deepEqual([io.error.code, products.error.code], ["unreachable", "unreachable"]);
      assert.match(products.error.detail, new RegExp(`closed with ${code}`));
      clock.pass(20_000);
      assert.equal(sockets.length > turn, true);
    }
  });
}

for (const none of [null, undefined]) {
  test(`with ${none} for auth there is no other proof: 4401 is final, and so is the refusal`, async () => {
    const { io, socket } = start({ auth: none });
    const products = io.collection("products");
    const payload = { code: "unauthenticated", detail: "" };
    socket().opens().says("products", { action: "error", ref: 1, payload });
    await assert.rejects(products.ready, { code: "unauthenticated" });
    socket().ends(4401);
    assert.deepEqual([io.status, io.error.passing], ["closed", false]);
  });
}

for (const params of /** @type {any[]} */ ([
  new Map([["category", 3]]),
  new Set([3]),
  new URLSearchParams("category=3"),
  [3],
])) {
  test(`params as a ${params.constructor.name}, of which JSON would say nothing, raise`, () => {
    const { io } = start();
    assert.throws(() => io.collection("products", params), TypeError);
    assert.throws(() => io.emit("products", { params }), TypeError);
  });
}
