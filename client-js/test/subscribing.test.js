import assert from "node:assert/strict";
import { test } from "node:test";
import { endTurn, overheard, start, startSubscribed } from "./surroundings.js";

const [A, B, C] = [1, 2, 3].map((id) => ({ id }));
const error = (code, more) => ({ action: "error", payload: { code, detail: "…" }, ...more });
const create = (payload, cursor, more) => ({ action: "create", payload, cursor, ...more });

test("an emit before the connection is sent when it opens", () => {
  const { io, socket } = start();
  io.emit("products").emit("orders", { params: { status: "open" } });
  assert.deepEqual(socket().sent, []);
  socket().opens();
  assert.deepEqual(socket().messages, [
    { event: "products", data: { ref: 1 } },
    { event: "orders", data: { params: { status: "open" }, ref: 2 } },
  ]);
});

test("a disconnect before the connection forgets the emit", () => {
  const { io, socket } = start();
  io.emit("products").emit("orders").emit("products", { disconnect: true });
  socket().opens();
  assert.deepEqual(
    socket().messages.map(({ event }) => event),
    ["orders"],
  );
});

test("listeners hear the sync, then the changes", () => {
  const { io, socket, listen, take } = start();
  listen("products");
  io.emit("products");
  socket().opens().accepts("products", [A]);
  socket().says("products", create(B, "c2", { after: 1 }));
  assert.deepEqual(take(), [
    ["products", { action: "sync", payload: [A], cursor: "c1" }],
    ["products", { action: "create", payload: B, after: 1, cursor: "c2" }],
  ]);
});

test("listeners are called once for each row of a batch, the last time with the cursor", () => {
  const { socket, take } = startSubscribed([A, B]);
  const payload = [
    { action: "delete", payload: { id: 1 } },
    { action: "update", payload: B },
    { action: "create", payload: C, after: 2 },
  ];
  socket().says("products", { action: "batch", payload, cursor: "c2" });
  assert.deepEqual(
    take().map(([, data]) => data),
    [payload[0], payload[1], { ...payload[2], cursor: "c2" }],
  );
});

test("listeners hear a sync in pages once, whole", () => {
  const { socket, take } = startSubscribed([A]);
  socket().says("products", { action: "sync", page: 1, pages: 2, payload: [B] });
  assert.deepEqual(take(), []);
  socket().says("products", { action: "sync", page: 2, pages: 2, payload: [C], cursor: "c2" });
  assert.deepEqual(take(), [["products", { action: "sync", payload: [B, C], cursor: "c2" }]]);
});

test("ok and stale are handed over; unknown actions and events are not", () => {
  const { socket, take, listen } = startSubscribed();
  listen("$commit", "strangers");
  const lines = overheard(() => {
    socket().says("products", { action: "ok", cursor: "c2" });
    socket().says("products", { action: "stale" });
    socket().says("products", { action: "sparkle", payload: [] });
    socket().says("$commit", { state: "s" });
    socket().says("strangers", { action: "sync", payload: [] });
  });
  assert.deepEqual(
    take().map(([, data]) => data.action),
    ["ok", "stale"],
  );
  assert.deepEqual(lines, []);
});

test("after a lost connection it goes on from the newest cursor with the held keys", () => {
  const { socket, clock, take } = startSubscribed([A, B]);
  socket().says("products", create(C, "c2", { after: null }));
  socket().ends();
  clock.pass(125);
  socket().opens();
  const { data } = socket().messages[0];
  assert.deepEqual(data, { cursor: "c2", held: [3, 1, 2], ref: 2 });
  take();
  socket().says("$subscribed", { ref: 2, event: "products", params: {}, key: "id" });
  socket().says("products", { action: "ok", cursor: "c3" });
  assert.deepEqual(take(), [["products", { action: "ok", cursor: "c3" }]]);
  socket().ends();
  clock.pass(60_000);
  socket().opens();
  assert.equal(socket().messages[0].data.cursor, "c3");
});

test("half an answer is thrown away with its connection", () => {
  const { socket, clock, take } = startSubscribed([A]);
  socket().says("products", { action: "batch", page: 1, pages: 2, payload: [create(B)] });
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.deepEqual(socket().messages[0].data, { cursor: "c1", held: [1], ref: 2 });
  assert.deepEqual(take(), []);
  socket().says("$subscribed", { ref: 2, event: "products", params: {}, key: "id" });
  socket().says("products", create(C, "c2", { after: 1 }));
  assert.deepEqual(take(), [["products", create(C, "c2", { after: 1 })]]);
});

test("a first answer that broke off is asked for again in full", () => {
  const { io, socket, clock } = start();
  io.emit("products");
  socket().opens().says("$subscribed", { ref: 1, event: "products", params: {}, key: "id" });
  socket().says("products", { action: "sync", page: 1, pages: 2, payload: [A] });
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.deepEqual(socket().messages, [{ event: "products", data: { ref: 2 } }]);
});

test("frames of another connection's subscription wait for this one's acceptance", () => {
  const { socket, clock, take } = startSubscribed([A]);
  socket().ends();
  clock.pass(125);
  socket().opens().says("products", create(B, "c9"));
  assert.deepEqual(take(), []);
});

test("emit again asks for a fresh answer; the stream goes on until it is here", () => {
  const { io, socket, take } = startSubscribed([A]);
  io.emit("products");
  assert.deepEqual(socket().messages[1], { event: "products", data: { ref: 2 } });
  socket().says("products", create(B, "c2"));
  socket().accepts("products", [A, B, C], { cursor: "c3" });
  assert.deepEqual(
    take().map(([, data]) => data.action),
    ["create", "sync"],
  );
});

test("a fresh answer that was lost is asked for again, fresh", () => {
  const { io, socket, clock } = startSubscribed([A]);
  io.emit("products");
  socket().says("products", create(B, "c2"));
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.deepEqual(socket().messages, [{ event: "products", data: { ref: 3 } }]);
});

test("an older ask's sync does not stand for a fresh answer that was lost", () => {
  const { io, socket, clock } = start();
  io.emit("products");
  socket().opens().says("$subscribed", { ref: 1, event: "products", params: {}, key: "id" });
  io.emit("products");
  socket().says("products", { action: "sync", payload: [A], cursor: "c1" });
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.deepEqual(socket().messages, [{ event: "products", data: { ref: 3 } }]);
});

test("an ask is answered once", () => {
  const { socket, take } = startSubscribed([A]);
  socket().says("products", error("forbidden", { ref: 1 }));
  socket().says("products", create(B, "c2"));
  assert.deepEqual(
    take().map(([, { action }]) => action),
    ["create"],
  );
});

test("an emit takes the place of the next try", () => {
  const { io, socket, clock } = start();
  io.emit("products");
  socket()
    .opens()
    .says("products", error("unavailable", { ref: 1 }));
  io.emit("products");
  clock.pass(10_000);
  assert.equal(socket().sent.length, 2);
});

test("an emit while offline is answered afresh too", () => {
  const { io, socket, clock } = startSubscribed([A]);
  socket().ends();
  io.emit("products");
  clock.pass(125);
  socket().opens();
  assert.deepEqual(socket().messages, [{ event: "products", data: { ref: 2 } }]);
});

test("answers to an older ask are thrown away", () => {
  const { io, socket, listen, take } = start();
  listen("products");
  io.emit("products").connect();
  socket().opens();
  io.emit("products");
  socket().accepts("products", [A], { ref: 1 });
  socket().says("products", error("internal", { ref: 1 }));
  assert.deepEqual(take(), []);
  socket().accepts("products", [A, B], { ref: 2 });
  assert.equal(take()[0][1].payload.length, 2);
});

test("unsubscribing ends the calls at once; the server's word is handed over", () => {
  const { io, socket, take } = startSubscribed([A]);
  io.emit("products", { disconnect: true });
  socket().says("products", create(B, "c2"));
  assert.deepEqual(take(), []);
  socket().says("products", { action: "disconnect", ref: 2 });
  assert.deepEqual(take(), [["products", { action: "disconnect", ref: 2 }]]);
  socket().says("products", { action: "disconnect", ref: 2 });
  assert.deepEqual(take(), []);
});

test("unsubscribing and subscribing again in one breath", () => {
  const { io, socket, take } = startSubscribed([A]);
  io.emit("products", { disconnect: true }).emit("products");
  socket().says("products", create(B, "c2"));
  assert.deepEqual(take(), []);
  assert.deepEqual(socket().messages.slice(1), [{ event: "products", data: { ref: 2 } }]);
  socket().accepts("products", [A, B], { ref: 2 });
  assert.equal(take().length, 1);
});

test("unsubscribing, and a moment later subscribing again", () => {
  const { io, socket, take } = startSubscribed([A]);
  io.emit("products", { disconnect: true });
  endTurn();
  io.emit("products");
  socket().says("products", create(B, "c2"));
  socket().says("products", { action: "disconnect", ref: 2 });
  assert.deepEqual(take(), []);
  socket().accepts("products", [A, B], { ref: 3 });
  assert.equal(take().length, 1);
});

test("unsubscribing without a connection is told at once: no answer will be", () => {
  const { io, socket, take } = startSubscribed([A]);
  socket().ends();
  take();
  io.emit("products", { disconnect: true });
  assert.deepEqual(take(), [["products", { action: "disconnect", params: undefined }]]);
  io.emit("orders").emit("orders", { disconnect: true });
});

test("unsubscribing ends all that the server will take for one", () => {
  const { io, socket, clock } = start();
  const text = io.collection("products", { n: "6" });
  const params = { n: 6 };
  io.emit("products", { params });
  socket().opens().accepts("products", [A], { params, ref: 1 });
  io.emit("products", { params, disconnect: true });
  text.close();
  clock.pass(1_000);
  const ends = socket().messages.filter(({ data }) => data.disconnect);
  assert.deepEqual(
    ends.map(({ data }) => data.params),
    [params, { n: "6" }],
  );
});

test("unsubscribing within a batch ends its calls", () => {
  const { io, socket, take } = startSubscribed([A]);
  io.on("products", () => io.emit("products", { disconnect: true }));
  const payload = [B, C].map((row) => ({ action: "create", payload: row, after: null }));
  socket().says("products", { action: "batch", payload, cursor: "c2" });
  assert.equal(take().length, 1);
});

test("an unsubscribed binding is not asked for after a lost connection", () => {
  const { io, socket, clock } = startSubscribed([A]);
  io.emit("products", { disconnect: true });
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.deepEqual(socket().sent, []);
});

test("off takes listeners away; the subscription stays", () => {
  const { io, socket, take } = startSubscribed([A]);
  const calls = [];
  const fn = (data) => calls.push(data.action);
  io.on("products", fn).on("products", fn);
  socket().says("products", create(B, "c2"));
  io.off("products", fn).off("products", fn);
  socket().says("products", create(C, "c3"));
  assert.deepEqual(calls, ["create"]);
  assert.equal(take().length, 2);
  io.off("products").off("never");
  socket().says("products", { action: "ok", cursor: "c4" });
  assert.deepEqual(take(), []);
});

test("a listener that throws harms neither the others nor the client", () => {
  const { io, socket, take } = start();
  io.on("products", () => {
    throw new Error("mine");
  });
  io.on("products", () => take());
  const lines = overheard(() => {
    io.emit("products");
    socket().opens().accepts("products", [A]);
    socket().says("products", create(B, "c2"));
  });
  assert.deepEqual(
    lines.map(({ message }) => message),
    ["mine", "mine"],
  );
});

test("a listener's error goes to the page's reportError where there is one", (t) => {
  const reported = [];
  globalThis.reportError = (problem) => reported.push(problem.message);
  t.after(() => Reflect.deleteProperty(globalThis, "reportError"));
  const { io } = start();
  io.on("status", () => {
    throw new Error("mine");
  });
  io.connect();
  assert.deepEqual(reported, ["mine"]);
});

test("subscriptions to one event with different params are told apart", () => {
  const { io, socket, listen, take, clock } = start();
  listen("products");
  for (const category of [3, 4]) {
    io.emit("products", { params: { category } });
  }
  socket().opens();
  socket().accepts("products", [A], { ref: 1, params: { category: 3 } });
  socket().accepts("products", [B], { ref: 2, params: { category: 4 } });
  socket().says("products", create(C, "c2", { params: { category: 4 } }));
  assert.deepEqual(
    take().map(([, { params, action }]) => [params.category, action]),
    [
      [3, "sync"],
      [4, "sync"],
      [4, "create"],
    ],
  );
  io.emit("products", { params: { category: 3 }, disconnect: true });
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.deepEqual(socket().messages, [
    { event: "products", data: { params: { category: 4 }, cursor: "c2", held: [2, 3], ref: 4 } },
  ]);
});

test("params may be changed after emit without harm", () => {
  const { io, socket } = start();
  const params = { category: 3 };
  io.emit("products", { params });
  params.category = 4;
  socket().opens();
  assert.deepEqual(socket().messages[0].data.params, { category: 3 });
});

test("the server's canonical params name the subscription; ours still find it", () => {
  const { io, socket, listen, take } = start();
  const params = { category: null, live: true };
  listen("products");
  io.emit("products");
  socket().opens().accepts("products", [A], { params });
  io.emit("products", { params: { live: true, category: null } });
  socket().accepts("products", [A], { params });
  assert.equal(take().length, 2);
  io.emit("products", { disconnect: true });
  socket().says("products", create(B, "c2", { params }));
  assert.deepEqual(take(), []);
});

test("two asks that the server takes for one become one", () => {
  const { io, socket, listen, take, clock } = start();
  const params = { category: 3 };
  listen("products");
  io.emit("products", { params: { category: "3" } }).emit("products", { params });
  socket().opens().accepts("products", [A], { params, ref: 1 });
  socket().accepts("products", [A, B], { params, ref: 2, cursor: "c2" });
  assert.equal(take().length, 2);
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.equal(socket().sent.length, 1);
  io.emit("products", { params: { category: "3" }, disconnect: true });
  socket().ends();
  clock.pass(60_000);
  socket().opens();
  assert.equal(socket().sent.length, 0);
});

test("unsubscribing by params that only the server knows for the same", () => {
  const { io, socket, listen, take, clock } = start();
  const params = { category: 3 };
  listen("products");
  io.emit("products", { params });
  socket().opens().accepts("products", [A], { params });
  io.emit("products", { params: { category: "3" }, disconnect: true });
  socket().says("products", { action: "disconnect", ref: 2, params });
  assert.equal(take()[1][1].action, "disconnect");
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.deepEqual(socket().sent, []);
});

const final = [
  "unknown_event",
  "invalid_params",
  "forbidden",
  "unauthenticated",
  "too_many_subscriptions",
  "too_large",
  "malformed",
  "revoked",
];

for (const code of final) {
  test(`${code} ends what was asked for`, () => {
    const { io, socket, listen, take, clock } = start();
    listen("products");
    io.emit("products");
    socket()
      .opens()
      .says("products", error(code, { ref: 1 }));
    assert.deepEqual(take(), [["products", error(code, { ref: 1 })]]);
    clock.pass(19_000);
    assert.equal(socket().sent.length, 1);
    socket().ends();
    clock.pass(60_000);
    socket().opens();
    assert.deepEqual(socket().sent, []);
  });
}

for (const code of ["unavailable", "rate_limited", "internal"]) {
  test(`${code} passes: asked again, later each time`, () => {
    const { io, socket, listen, take, clock } = start();
    listen("products");
    io.emit("products");
    socket().opens();
    for (const [ref, wait] of [500 + 500, 500 + 1000, 500 + 2000].entries()) {
      socket().says("products", error(code, { ref: ref + 1 }));
      clock.pass(wait - 1);
      assert.equal(socket().sent.length, ref + 1);
      clock.pass(1);
      assert.equal(socket().sent.length, ref + 2);
    }
    socket().accepts("products", [A]);
    assert.deepEqual(
      take().map(([, { action }]) => action),
      ["error", "error", "error", "sync"],
    );
    clock.pass(10_000);
    assert.equal(socket().sent.length, 4);
  });
}

test("waiting to ask again ends with the connection, the emit and the disconnect", () => {
  const { io, socket, clock } = start();
  for (const event of ["products", "orders", "users"]) {
    io.emit(event);
  }
  socket().opens();
  for (const [index, event] of ["products", "orders", "users"].entries()) {
    socket().says(event, error("unavailable", { ref: index + 1 }));
  }
  io.emit("orders").emit("users", { disconnect: true });
  socket().ends();
  clock.pass(125);
  socket().opens();
  clock.pass(15_000);
  assert.deepEqual(
    socket().messages.map(({ event }) => event),
    ["products", "orders"],
  );
});

test("a refused emit of what is live leaves its stream alone", () => {
  const { io, socket, clock, take } = startSubscribed([A]);
  io.emit("products", { page_size: 10 });
  socket().says("products", error("malformed", { ref: 2 }));
  socket().says("products", create(B, "c2"));
  assert.deepEqual(
    take().map(([, { action }]) => action),
    ["error", "create"],
  );
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.equal(socket().messages[0].data.cursor, "c2");
});

test("a state that is too large to name is left unsaid", () => {
  const { socket, clock, take } = startSubscribed([A]);
  socket().ends();
  clock.pass(125);
  socket()
    .opens()
    .says("products", error("too_large", { ref: 2 }));
  assert.deepEqual(socket().messages[1], { event: "products", data: { ref: 3 } });
  assert.deepEqual(take(), []);
  socket().accepts("products", [A, B], { cursor: "c5" });
  socket().ends();
  clock.pass(60_000);
  socket().opens();
  assert.equal(socket().messages[0].data.cursor, "c5");
});

test("a connection closed over a state too big to name is resumed without it", () => {
  const { socket, clock } = startSubscribed([A]);
  socket().ends();
  clock.pass(125);
  socket().opens().ends(1009);
  clock.pass(60_000);
  socket().opens();
  assert.deepEqual(socket().messages, [{ event: "products", data: { ref: 3 } }]);
});

test("an error that names no event goes to the error listeners", () => {
  const { socket, listen, take } = startSubscribed();
  listen("error");
  socket().says("$error", error("malformed"));
  assert.deepEqual(take(), [["error", error("malformed")]]);
});

test("rate_limited without a mark: what has no answer yet is asked for again", () => {
  const { io, socket, clock } = startSubscribed();
  io.emit("orders");
  socket().says("$error", error("rate_limited"));
  clock.pass(1_000);
  assert.deepEqual(
    socket().messages.map(({ event, data }) => [event, data.ref]),
    [
      ["products", 1],
      ["orders", 2],
      ["orders", 3],
    ],
  );
});

test("a late acceptance spares the second ask", () => {
  const { io, socket, clock, take, listen } = start();
  listen("products");
  io.emit("products");
  socket().opens().says("$error", error("rate_limited"));
  socket().accepts("products", [A]);
  clock.pass(10_000);
  assert.equal(socket().sent.length, 1);
  assert.equal(take().length, 1);
});

test("the server ends a subscription", () => {
  const { socket, clock, take } = startSubscribed([A]);
  socket().says("products", { action: "disconnect", code: "revoked" });
  socket().says("products", create(B, "c2"));
  assert.deepEqual(take(), [["products", { action: "disconnect", code: "revoked" }]]);
  socket().ends();
  clock.pass(125);
  socket().opens();
  assert.deepEqual(socket().sent, []);
});

test("the server ends one for a while: listeners hear why, and then the rows", () => {
  const { socket, clock, take } = startSubscribed([A]);
  const ended = { action: "disconnect", code: "internal" };
  socket().says("products", error("internal", { ref: 1 }));
  socket().says("products", ended);
  const told = [error("internal", { ref: 1 }), ended];
  assert.deepEqual(
    take().map(([, data]) => data),
    told,
  );
  clock.pass(1_000);
  socket().accepts("products", [A, B]);
  assert.deepEqual(take()[0][1].payload, [A, B]);
});

test("the server ends a subscription that was just asked for again", () => {
  const { io, socket, take } = startSubscribed([A]);
  io.emit("products");
  socket().says("products", { action: "disconnect", code: "expired" });
  socket().says("products", create(B, "c2"));
  socket().accepts("products", [A], { ref: 2 });
  assert.deepEqual(
    take().map(([, { action }]) => action),
    ["disconnect", "sync"],
  );
});

test("a key of another name makes what was held worthless", () => {
  const { socket, clock, take } = startSubscribed([{ id: 1, code: "a" }]);
  socket().ends();
  clock.pass(125);
  socket().opens().says("$subscribed", { ref: 2, event: "products", params: {}, key: "code" });
  socket().says("products", { action: "ok", cursor: "c2" });
  assert.deepEqual(socket().messages[1], { event: "products", data: { ref: 3 } });
  assert.deepEqual(take(), []);
  socket().accepts("products", [{ id: 1, code: "a" }], { key: "code" });
  assert.equal(take().length, 1);
});

test("messages that are none of the contract's are passed over with a warning", () => {
  const { socket, take } = startSubscribed([A]);
  const lines = overheard(() => {
    for (const text of ["{", "[]", '{"event":"products"}', '{"event":"$subscribed","data":{}}']) {
      socket().saysText(text);
    }
    socket().saysText('{"event":"$error"}');
    socket().saysText('{"event":"$pong"}');
  });
  assert.equal(lines.length, 4);
  assert.match(lines[0], /^bindserver: /);
  assert.deepEqual(take(), []);
});

test("a frame that cannot be applied leaves a gap, which a fresh sync closes", () => {
  const { socket, clock, take } = startSubscribed([A]);
  const lines = overheard(() => {
    socket().says("products", create({ name: "no key" }, "c2"));
    socket().says("products", create(C, "c3"));
  });
  assert.equal(lines.length, 1);
  assert.deepEqual(take(), []);
  clock.pass(1_000);
  assert.deepEqual(socket().messages[1], { event: "products", data: { ref: 2 } });
  socket().accepts("products", [A, B, C], { cursor: "c3" });
  assert.equal(take()[0][1].payload.length, 3);
});

test("a programmer's mistake raises", () => {
  const { io, sockets } = start();
  for (const event of ["", "$ping", "connect", "disconnect", "error", "status", undefined]) {
    assert.throws(() => io.emit(event), TypeError);
  }
  for (const options of [null, 7, { params: [] }, { params: "x" }, { page_size: 0 }]) {
    assert.throws(() => io.emit("products", options), TypeError);
  }
  assert.throws(() => io.on("products"), TypeError);
  assert.equal(sockets.length, 0);
});

test("a listener of connect may emit without asking twice", () => {
  const { io, socket } = start();
  io.on("connect", () => io.emit("products"));
  io.connect();
  socket().opens();
  assert.equal(socket().sent.length, 1);
});
