import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ANSWER } from "../src/connection/auth.js";
import { start } from "./surroundings.js";

const A = { id: 1 };
const kinds = (socket) => socket().messages.map(({ event }) => event);
const last = (socket) => socket().messages.at(-1);
const error = (code, more) => ({ action: "error", payload: { code, detail: "why" }, ...more });

/**
 * A client whose proofs are t1, t2 and so on; its connection is open.
 * @param {Record<string, any>} [options]
 */
async function opened({ auth, ...options } = {}) {
  const asked = [];
  const session = start({
    auth: async () => {
      asked.push(asked.length + 1);
      return auth ? auth(asked.length) : `t${asked.length}`;
    },
    ...options,
  });
  const { io, clock, socket } = session;
  const products = io.collection("products");
  socket().opens();
  await setImmediate();
  const pass = async (milliseconds) => {
    clock.pass(milliseconds);
    await setImmediate();
  };
  /** @param {number | null} [expires] */
  const proved = (expires = null) =>
    socket().says("$auth", { ref: last(socket).data.ref, expires });
  return { ...session, products, asked, pass, proved };
}

test("the token comes first, and the rest when it is taken", async () => {
  const { socket, proved } = await opened();
  assert.deepEqual(kinds(socket), ["$hello", "$auth"]);
  assert.deepEqual(last(socket).data, { token: "t1", ref: 1 });
  proved();
  assert.deepEqual(kinds(socket), ["$hello", "$auth", "products"]);
});

test("an answer without a mark is an answer", async () => {
  const { socket } = await opened();
  socket().says("$auth", { expires: 60 });
  assert.equal(last(socket).event, "products");
});

test("on every new connection again, with a new token", async () => {
  const { socket, proved, pass } = await opened();
  proved();
  socket().accepts("products", [A]);
  socket().ends();
  await pass(125);
  socket().opens();
  await setImmediate();
  assert.deepEqual(kinds(socket), ["$hello", "$auth"]);
  assert.equal(last(socket).data.token, "t2");
  proved();
  assert.deepEqual(last(socket).data, { cursor: "c1", held: [1], ref: 2 });
});

test("no token is no word about it", async () => {
  for (const none of [null, undefined]) {
    const { socket } = await opened({ auth: () => none });
    assert.deepEqual(kinds(socket), ["$hello", "products"]);
  }
});

test("an auth that is no promise will do", async () => {
  const { socket, io } = start({ auth: () => "t" });
  io.emit("products");
  socket().opens();
  await setImmediate();
  assert.deepEqual(last(socket).data, { token: "t", ref: 1 });
});

test("it is renewed before it ends, and what is subscribed goes on", async () => {
  const { socket, proved, pass, products } = await opened();
  proved(20);
  socket().accepts("products", [A]);
  await pass(14_999);
  const before = kinds(socket).filter((event) => event === "$auth").length;
  await pass(1);
  assert.equal(before, 1);
  assert.equal(last(socket).data.token, "t2");
  proved(20);
  assert.equal(last(socket).event, "$auth");
  assert.equal(products.status, "live");
  await pass(15_000);
  assert.equal(last(socket).data.token, "t3");
});

test("an end beyond what a timer takes is no end at once", async () => {
  const { proved, pass, asked } = await opened();
  proved(10 ** 9);
  await pass(10_000);
  assert.equal(asked.length, 1);
});

test("an end at once is no busy loop", async () => {
  const { proved, pass, asked } = await opened();
  proved(0);
  await pass(999);
  assert.equal(asked.length, 1);
  await pass(1);
  assert.equal(asked.length, 2);
});

test("an auth that throws is reported and tried again, later each time", async () => {
  const problems = [];
  let works = false;
  const { io, socket, products, pass, asked } = await opened({
    auth: () => {
      if (!works) throw new Error("no network");
      return "t";
    },
  });
  io.on("error", ({ payload }) => problems.push(payload));
  assert.equal(products.error.code, "unauthenticated");
  assert.match(products.error.detail, /no network/);
  assert.equal(products.status, "connecting");
  await pass(999);
  assert.equal(asked.length, 1);
  await pass(1);
  assert.equal(asked.length, 2);
  assert.equal(problems.length, 1);
  works = true;
  await pass(1_499);
  assert.equal(asked.length, 2);
  await pass(1);
  socket().says("$auth", { expires: null });
  socket().accepts("products", [A]);
  assert.deepEqual([products.status, products.error], ["live", null]);
});

test("a token that the server refuses is reported, and another one asked for", async () => {
  const { io, socket, products, pass, listen, take } = await opened();
  listen("error");
  socket().says("$auth", error("unauthenticated", { ref: 1 }));
  assert.equal(products.error.code, "unauthenticated");
  assert.deepEqual(take()[0][1].payload, { code: "unauthenticated", detail: "why" });
  await pass(1_000);
  assert.equal(last(socket).data.token, "t2");
  io.close();
});

test("a server that does not answer is asked again", async () => {
  const { socket, products, pass } = await opened();
  const { ref } = last(socket).data;
  await pass(ANSWER);
  assert.equal(products.error.code, "unavailable");
  socket().says("$auth", { ref, expires: null });
  assert.equal(last(socket).event, "$auth");
  await pass(1_000);
  assert.equal(last(socket).data.token, "t2");
});

for (const code of ["expired", "unauthenticated"]) {
  test(`ended with ${code}: a new token, and on from where it was`, async () => {
    const { socket, proved, pass, products } = await opened();
    proved();
    socket().accepts("products", [A]);
    socket().says("products", { action: "disconnect", code });
    assert.deepEqual([products.status, products.error.code], ["stale", code]);
    await pass(1_000);
    assert.equal(last(socket).data.token, "t2");
    proved();
    assert.deepEqual(last(socket).data, { cursor: "c1", held: [1], ref: 2 });
    socket().says("$subscribed", { ref: 2, event: "products", params: {}, key: "id" });
    socket().says("products", { action: "ok", cursor: "c2" });
    assert.deepEqual([products.status, products.error], ["live", null]);
  });

  test(`refused with ${code}: a new token, later each time while it helps nothing`, async () => {
    const { socket, proved, pass, asked } = await opened();
    proved();
    for (const [ref, wait] of [1_000, 1_500, 2_500].entries()) {
      socket().says("products", error(code, { ref: ref + 1 }));
      await pass(wait - 1);
      assert.equal(asked.length, ref + 1);
      await pass(1);
      assert.equal(asked.length, ref + 2);
      proved();
    }
  });
}

test("several that end together ask for one new token", async () => {
  const { io, socket, proved, pass, asked } = await opened();
  io.emit("orders");
  proved();
  socket().accepts("products", [A], { ref: 1 });
  socket().accepts("orders", [A], { ref: 2 });
  for (const event of ["products", "orders"]) {
    socket().says(event, { action: "disconnect", code: "expired" });
  }
  await pass(1_000);
  assert.equal(asked.length, 2);
  proved();
  assert.deepEqual(kinds(socket).slice(-2).sort(), ["orders", "products"]);
});

test("without auth these codes end the subscription", () => {
  const { io, socket } = start();
  const products = io.collection("products");
  socket().opens().accepts("products", [A]);
  socket().says("products", { action: "disconnect", code: "expired" });
  assert.equal(products.status, "closed");
});

test("closed with 4401 it comes back with a new token; with 4403 it stays away", async () => {
  const { socket, sockets, pass, proved, io } = await opened();
  proved();
  socket().ends(4401);
  await pass(125);
  assert.equal(sockets.length, 2);
  socket().opens();
  await setImmediate();
  assert.equal(last(socket).data.token, "t2");
  socket().ends(4403);
  await pass(100_000);
  assert.equal(sockets.length, 2);
  assert.equal(io.status, "closed");
});

test("a token that comes after its connection has gone is not sent", async () => {
  const waiting = [];
  const { socket, pass } = await opened({ auth: () => new Promise((done) => waiting.push(done)) });
  socket().ends();
  await pass(125);
  socket().opens();
  waiting[0]("old");
  await setImmediate();
  assert.deepEqual(kinds(socket), ["$hello"]);
  waiting[1]("new");
  await setImmediate();
  assert.equal(last(socket).data.token, "new");
});

test("the server ends all with revoked when the token is another user's", async () => {
  const { socket, proved, pass, products } = await opened();
  proved(20);
  socket().accepts("products", [A]);
  await pass(15_000);
  socket().says("products", { action: "disconnect", code: "revoked" });
  socket().says("$auth", { ref: 2, expires: 20 });
  assert.deepEqual([products.status, products.error.code], ["closed", "revoked"]);
  assert.equal(last(socket).event, "$auth");
});

test("close() ends the renewals", async () => {
  const { io, proved, clock } = await opened();
  proved(100);
  io.close();
  assert.equal(clock.pending, 0);
});
