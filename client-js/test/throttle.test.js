/** What we ask for and what we leave: below the server's rate, until it is answered. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { BURST, RATE } from "../src/connection/throttle.js";
import { endTurn, overheard, start } from "./surroundings.js";
import { vectors } from "./vectors.js";

const MESSAGE = 1_000 / RATE;
const said = (socket) =>
  socket()
    .messages.filter(({ event }) => !event.startsWith("$"))
    .map(({ data }) => [data.disconnect ? "leave" : "ask", data.params?.n]);
const limited = { action: "error", payload: { code: "rate_limited", detail: "slow down" } };
const accept = (socket, ref, n) => {
  socket().says("$subscribed", { ref, event: "products", params: { n }, key: "id" });
  socket().says("products", { action: "sync", payload: [], params: { n }, cursor: "c" });
};

/** A client with so many collections; the connection is open, and all are accepted if asked for. */
function many(count, accepted = true) {
  const session = start();
  const { io, socket } = session;
  const all = Array.from({ length: count }, (_, n) => io.collection("products", { n }));
  socket().opens();
  for (let n = 0; accepted && n < Math.min(count, BURST); n += 1) {
    accept(socket, n + 1, n);
  }
  return { ...session, all };
}

/** A server's allowance, in its usual settings. */
class Allowance {
  left = 200;
  at = 0;
  take(now) {
    this.left = Math.min(200, this.left + ((now - this.at) / 1_000) * 50) - 1;
    this.at = now;
    return this.left >= 0;
  }
}

test("however many are opened and closed at once, the server's allowance is never used up", () => {
  const { io, clock, socket } = start();
  const allowance = new Allowance();
  io.connect();
  const send = socket().send.bind(socket());
  socket().send = (text) => {
    assert.ok(allowance.take(clock.now()), "too many messages");
    send(text);
  };
  socket().opens();
  for (let turn = 0; turn < 40; turn += 1) {
    const all = Array.from({ length: 50 }, (_, n) => io.collection("products", { n, turn }));
    clock.pass(turn * 7);
    for (const each of all) each.close();
  }
  clock.pass(120_000);
  const asked = said(socket).filter(([kind]) => kind === "ask").length;
  assert.equal(said(socket).length, 2 * asked, "each that was asked for was left");
});

test("more than the burst go out as time allows, in order", () => {
  const { socket, clock } = many(BURST + 3, false);
  assert.equal(said(socket).length, BURST);
  clock.pass(MESSAGE - 1);
  assert.equal(said(socket).length, BURST);
  clock.pass(1);
  assert.deepEqual(said(socket).at(-1), ["ask", BURST]);
  clock.pass(10 * MESSAGE);
  assert.equal(said(socket).length, BURST + 3);
  assert.deepEqual(said(socket).at(-1), ["ask", BURST + 2]);
});

test("a timer that fires late, as in a hidden tab, lets out what has become due meanwhile", () => {
  const { socket, clock } = many(BURST + 30, false);
  clock.oversleep(1_000);
  assert.equal(said(socket).length, BURST + 30);
});

test("what is opened and closed before it could be asked for is never asked for, nor left", () => {
  const { all, socket, clock } = many(BURST + 3, false);
  all[BURST + 1].close();
  clock.pass(10_000);
  const numbers = said(socket).map(([, n]) => n);
  assert.deepEqual(numbers.slice(BURST), [BURST, BURST + 2]);
});

test("an emit and its disconnect that were not sent are told to listeners all the same", () => {
  const { io, socket, clock, listen, take } = many(BURST);
  listen("orders");
  io.emit("orders").emit("orders", { disconnect: true });
  assert.deepEqual(take(), [["orders", { action: "disconnect", params: undefined }]]);
  clock.pass(10_000);
  assert.equal(said(socket).length, BURST);
});

test("who leaves goes before who comes, to make room", () => {
  const { io, all, socket, clock } = many(BURST);
  io.collection("products", { n: "new" });
  all[7].close();
  clock.pass(2 * MESSAGE);
  assert.deepEqual(said(socket).slice(BURST), [
    ["leave", 7],
    ["ask", "new"],
  ]);
});

test("closed and opened again before that was said: asked for, and not left", () => {
  const { io, all, socket, clock } = many(BURST);
  all[7].close();
  endTurn();
  io.collection("products", { n: 7 });
  clock.pass(10_000);
  assert.deepEqual(said(socket).slice(BURST), [["ask", 7]]);
});

test("opened and closed again in one turn: nothing is said of it, however many", () => {
  const { io, socket, clock } = many(3);
  for (let n = 10; n < 510; n += 1) {
    io.collection("products", { n }).close();
    io.emit("products", { params: { n } }).emit("products", { params: { n }, disconnect: true });
  }
  clock.pass(10_000);
  assert.equal(said(socket).length, 3);
});

test("closed and opened again in one turn: nothing is said, and all goes on", () => {
  const { io, all, socket, clock } = many(3);
  const { rows } = all[1];
  for (let turn = 0; turn < 500; turn += 1) {
    all[1].close();
    all[1] = io.collection("products", { n: 1 });
    assert.deepEqual([all[1].status, all[1].rows === rows], ["live", true]);
  }
  clock.pass(10_000);
  assert.equal(said(socket).length, 3);
  const payload = { id: 5 };
  socket().says("products", { action: "create", payload, params: { n: 1 }, after: null });
  assert.deepEqual(all[1].rows, [payload]);
});

test("what is asked for leaves in the same turn of the event loop: nobody waits for the first rows", async () => {
  const { io, socket } = start({ queueMicrotask });
  io.connect();
  socket().opens();
  const { sent } = socket();
  io.collection("products");
  assert.equal(sent.length, 1);
  await undefined;
  assert.equal(sent.length, 2);
});

test("closed, opened and closed again before anything was said: left", () => {
  const { io, all, socket, clock } = many(BURST);
  all[7].close();
  io.collection("products", { n: 7 }).close();
  clock.pass(10_000);
  assert.deepEqual(said(socket).slice(BURST), [["leave", 7]]);
});

test("a lost connection leaves by itself: nothing of it is said on the next one", () => {
  const { all, socket, clock } = many(BURST);
  for (const each of all) each.close();
  socket().ends();
  clock.pass(125);
  socket().opens();
  clock.pass(60_000);
  assert.deepEqual(said(socket), []);
});

for (const [name, refusal] of Object.entries({
  "by its mark": (socket, ref) => socket().says("products", { ...limited, ref }),
  "without a mark, as older servers do": (socket) => socket().says("$error", limited),
})) {
  test(`a leave that is refused for the rate ${name} is said again until it is answered`, () => {
    const { all, socket, clock } = many(3);
    all[1].close();
    for (let turn = 1; turn < 4; turn += 1) {
      refusal(socket, socket().lastRef);
      clock.pass(20_000);
      assert.deepEqual(said(socket).slice(3), Array(turn + 1).fill(["leave", 1]));
      socket().says("$pong", 1);
    }
    const params = { n: 1 };
    socket().says("products", { action: "disconnect", params, ref: socket().lastRef });
    clock.pass(19_000);
    assert.equal(said(socket).filter(([kind]) => kind === "leave").length, 4);
  });

  test(`an ask that is refused for the rate ${name} is said again`, () => {
    const { all, socket, clock } = many(1, false);
    refusal(socket, 1);
    clock.pass(1_000);
    assert.equal(said(socket).length, 2);
    accept(socket, socket().lastRef, 0);
    assert.equal(all[0].status, "live");
  });
}

test("a leave that is answered after a refusal that did not mean it is not said again", () => {
  const { io, socket, clock, listen, take } = many(1);
  listen("products");
  io.emit("products", { params: { n: 7 } });
  endTurn();
  accept(socket, socket().lastRef, 7);
  take();
  io.emit("products", { params: { n: 7 }, disconnect: true });
  const ref = socket().lastRef;
  socket().says("$error", limited);
  socket().says("products", { action: "disconnect", params: { n: 7 }, ref });
  clock.pass(19_000);
  assert.equal(said(socket).filter(([kind]) => kind === "leave").length, 1);
  assert.equal(take().length, 1);
});

test("a leave that is refused for good is not said again, and nobody hears of it", () => {
  const { all, socket, clock, listen, take } = many(2);
  listen("products");
  all[1].close();
  const payload = { code: "invalid_params", detail: "" };
  socket().says("products", { action: "error", ref: socket().lastRef, payload });
  clock.pass(19_000);
  assert.equal(said(socket).length, 3);
  assert.deepEqual(take(), []);
});

test("refused for the rate, we slow down until the next connection", () => {
  const { io, socket, clock } = many(1);
  for (let turn = 0; turn < 3; turn += 1) socket().says("$error", limited);
  for (let n = 10; n < 40; n += 1) io.collection("products", { n });
  assert.equal(said(socket).length, 1);
  clock.pass(1_000);
  const count = said(socket).length;
  assert.ok(count > 2 && count <= 1 + RATE / 2, `${count} messages`);
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.equal(said(socket).length, 31);
});

test("no room while others are being left is asked for again; with nobody left it is final", () => {
  const { io, all, socket, clock } = many(2);
  const full = (ref) => {
    const payload = { code: "too_many_subscriptions", detail: "at most 2" };
    socket().says("products", { action: "error", ref, payload });
  };
  const late = io.collection("products", { n: 5 });
  const ref = socket().lastRef;
  all[0].close();
  const leave = socket().lastRef;
  full(ref);
  assert.deepEqual([late.status, late.error.code], ["connecting", "too_many_subscriptions"]);
  assert.equal(late.error.passing, true);
  socket().says("products", { action: "disconnect", ref: leave, params: { n: 0 } });
  clock.pass(1_000);
  full(socket().lastRef);
  assert.deepEqual([late.status, late.error.passing], ["closed", false]);
});

for (const { name, refused } of vectors("refusals.json").filter(({ refused }) => refused)) {
  test(`vector: the refusal of ${name} is understood, and harms nothing that is live`, () => {
    const { all, socket } = many(2);
    const { event, ...marks } = refused;
    const lines = overheard(() => socket().says(event, { ...limited, ...marks }));
    assert.deepEqual(lines, []);
    assert.deepEqual(
      all.map(({ status }) => status),
      ["live", "live"],
    );
  });
}
