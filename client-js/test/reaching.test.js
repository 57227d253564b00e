/** Whoever waits is told why, at once, and of every attempt; what there is stays. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createRawServer } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { WebSocket, WebSocketServer } from "ws";
import { ANSWER } from "../src/connection/auth.js";
import { OPENING } from "../src/connection/connection.js";
import { connect } from "../src/index.js";
import { FakeSocket, overheard, start } from "./surroundings.js";

const A = { id: 1 };
const URL = "ws://shop.example/ws/";
/** These fail where nobody is told, and do not wait for ever. */
const REAL = { timeout: 60_000 };
const asks = (socket) => socket().messages.filter(({ event }) => !event.startsWith("$"));
const last = (socket) => socket().messages.at(-1);
const told = ({ code, passing, attempts }) => [code, passing, attempts];

/** Run `fn` without a word in the console. */
function quietly(fn) {
  let found;
  overheard(() => {
    found = fn();
  });
  return found;
}

test("the first attempt that fails is told: on io, on collections, and by an event", () => {
  const { io, socket, listen, take, clock } = start();
  listen("error", "disconnect");
  const products = io.collection("products");
  let steps = 0;
  products.subscribe(() => {
    steps += 1;
  });
  assert.deepEqual([io.error, products.error], [null, null]);
  quietly(() => socket().ends());
  assert.deepEqual(told(io.error), ["unreachable", true, 1]);
  assert.deepEqual(told(products.error), ["unreachable", true, 1]);
  assert.ok(products.error instanceof Error);
  assert.equal(products.error.message, products.error.detail);
  assert.equal(products.error.detail, `cannot connect to ${URL}: closed with 1006`);
  assert.deepEqual([io.status, products.status, steps], ["connecting", "connecting", 1]);
  const payload = { code: "unreachable", detail: products.error.detail, attempts: 1 };
  assert.deepEqual(take(), [["error", { action: "error", payload }]]);
  for (const attempts of [2, 3, 4]) {
    clock.pass(125 * 2 ** (attempts - 2));
    socket().ends();
    assert.equal(products.error.attempts, attempts);
    assert.equal(take().length, 1, "one event for each attempt");
  }
  assert.equal(steps, 4);
});

test("it is over with the first answer; ready has waited", async () => {
  const { io, socket, clock } = start();
  const products = io.collection("products");
  const ready = products.ready.then(() => "ready");
  quietly(() => socket().ends());
  clock.pass(125);
  socket().opens();
  assert.equal(io.error, null);
  assert.equal(await Promise.race([ready, setImmediate("waits")]), "waits");
  socket().accepts("products", [A]);
  assert.deepEqual([products.status, products.error], ["live", null]);
  assert.equal(await ready, "ready");
});

test("a server that was reached, and has nothing to say yet, is no longer said to be unreachable", () => {
  const { io, socket, clock } = start();
  const products = io.collection("products");
  quietly(() => socket().ends());
  clock.pass(125);
  socket().opens().says("$subscribed", { ref: 1, event: "products", params: {}, key: "id" });
  socket().says("products", { action: "stale" });
  assert.deepEqual([products.status, products.error], ["connecting", null]);
});

test("an error that has passed does not come back with the next word of the server's", () => {
  const { io, socket, clock } = start();
  const products = io.collection("products");
  const payload = { code: "unavailable", detail: "later" };
  socket().opens().says("products", { action: "error", ref: 1, payload });
  clock.pass(1_000);
  socket().accepts("products", [A]);
  socket().says("products", { action: "stale" });
  assert.deepEqual([products.status, products.error], ["stale", null]);
});

test("a lost connection is told too, and good rows stay, the same array", () => {
  const { io, socket, clock, listen, take } = start();
  listen("error", "disconnect");
  const products = io.collection("products");
  socket().opens().accepts("products", [A]);
  const { rows } = products;
  socket().ends(1012, "restart");
  assert.deepEqual(told(products.error), ["unreachable", true, 0]);
  assert.equal(products.error.detail, `lost connection to ${URL}: restart`);
  assert.deepEqual(
    take().map(([event]) => event),
    ["disconnect"],
  );
  for (let attempts = 1; attempts < 5; attempts += 1) {
    clock.pass(15_000);
    quietly(() => socket().ends());
    assert.deepEqual([products.status, products.error.attempts], ["stale", attempts]);
    assert.equal(products.rows, rows);
    assert.equal(products.get(1), rows[0]);
  }
  clock.pass(30_000);
  const { ref } = socket().opens().messages.at(-1).data;
  socket().says("$subscribed", { ref, event: "products", params: {}, key: "id" });
  socket().says("products", { action: "ok", cursor: "c2" });
  assert.deepEqual([products.status, products.error, products.rows], ["live", null, rows]);
});

test("a server that takes connections and drops them at once is told of as lost", () => {
  const { io, socket, clock } = start();
  const products = io.collection("products");
  for (let turn = 0; turn < 3; turn += 1) {
    socket().opens().ends(1013);
    assert.deepEqual(told(products.error), ["unreachable", true, 0]);
    clock.pass(1_000);
  }
});

test("who comes while nothing can be reached is told at once", () => {
  const { io, socket } = start();
  io.emit("orders");
  quietly(() => socket().ends());
  for (const event of ["products", "orders"]) {
    assert.equal(io.collection(event).error.code, "unreachable");
  }
});

test("who comes after the server has refused us for good is told, and ready rejects", async () => {
  const { io, socket } = start();
  io.connect();
  socket().opens().ends(4403, "not you");
  assert.deepEqual(told(io.error), ["forbidden", false, undefined]);
  const products = io.collection("products");
  assert.deepEqual([products.error.code, products.error.detail], ["forbidden", "not you"]);
  await assert.rejects(products.ready, { code: "forbidden" });
  io.connect();
  const again = io.collection("products", { n: 1 });
  assert.deepEqual([io.error, again.error], [null, null]);
  socket().opens();
  socket().accepts("products", [A], { params: { n: 1 } });
  assert.deepEqual(await again.ready, [A]);
});

test("io.close() is no error, whatever was wrong before", () => {
  const { io, socket } = start();
  const products = io.collection("products");
  quietly(() => socket().ends());
  io.close();
  assert.deepEqual([io.error, products.error, products.status], [null, null, "connecting"]);
});

test("a listener of error may close", () => {
  const { io, socket, clock, sockets } = start();
  io.on("error", () => io.close());
  io.collection("products");
  quietly(() => socket().ends());
  clock.pass(60_000);
  assert.deepEqual([io.status, sockets.length], ["closed", 1]);
});

test("a page that may not connect at all: the constructor's word is told, every time", () => {
  function Blocked() {
    throw new Error("An insecure WebSocket connection may not be initiated");
  }
  const { io, clock, listen, take } = start({ WebSocket: Blocked });
  listen("error");
  const products = quietly(() => io.collection("products"));
  assert.match(products.error.detail, /insecure WebSocket/);
  clock.pass(125);
  assert.deepEqual(
    take().map(([, { payload }]) => payload.attempts),
    [1, 2],
  );
});

test("once, in the console, developers are told what to look at", () => {
  const { io, socket, clock } = start();
  const lines = overheard(() => {
    io.collection("products");
    for (let turn = 0; turn < 5; turn += 1) {
      socket().ends();
      clock.pass(60_000);
    }
  });
  assert.equal(lines.length, 1);
  assert.match(lines[0], /^bindserver: cannot connect to ws:\/\/shop\.example\/ws\/: .*runserver/);
});

test("nothing is said there where there has been a connection", () => {
  const { io, socket, clock } = start();
  const lines = overheard(() => {
    io.connect();
    socket().opens().ends();
    clock.pass(125);
    socket().ends();
  });
  assert.deepEqual(lines, []);
});

test("what stands behind a question mark may be secret, and is not told", () => {
  FakeSocket.all = [];
  const io = connect("ws://shop.example/ws/?token=secret", { WebSocket: FakeSocket });
  const lines = overheard(() => {
    io.connect();
    FakeSocket.all[0].ends();
  });
  io.close();
  io.connect();
  assert.equal(FakeSocket.all[1].url, "ws://shop.example/ws/?token=secret");
  io.close();
  assert.doesNotMatch(lines.join(), /secret/);
});

for (const [address, told] of [
  ["wss://ann:pass@word@shop.example/ws/@me", "wss://shop.example/ws/@me"],
  ["ws://shop.example?secret=a@secret//b@secret", "ws://shop.example"],
  ["ws://secret@[::1]:8000/?secret", "ws://[::1]:8000/"],
]) {
  test(`of ${address} is told no more than ${told}`, () => {
    FakeSocket.all = [];
    const io = connect(address, { WebSocket: FakeSocket });
    const detail = quietly(() => {
      io.connect();
      FakeSocket.all[0].ends();
      return io.error?.detail;
    });
    io.close();
    assert.equal(detail, `cannot connect to ${told}: closed with 1006`);
    assert.equal(FakeSocket.all[0].url, address);
  });
}

test("an ask that is not answered is told of, and the answer is welcome still", async () => {
  const { io, socket, clock } = start();
  const products = io.collection("products");
  let steps = 0;
  products.subscribe(() => {
    steps += 1;
  });
  socket().opens();
  const passes = (milliseconds) => {
    socket().says("$pong", 1);
    clock.pass(milliseconds);
  };
  passes(ANSWER - 1);
  assert.deepEqual([products.error, steps], [null, 0]);
  passes(1);
  assert.deepEqual(told(products.error), ["unavailable", true, undefined]);
  assert.deepEqual([products.status, steps, asks(socket).length], ["connecting", 1, 1]);
  passes(ANSWER);
  socket().accepts("products", [A], { ref: 1 });
  assert.deepEqual([products.status, products.error], ["live", null]);
  assert.deepEqual(await products.ready, [A]);
  passes(ANSWER);
  assert.equal(products.error, null);
});

test("a fresh answer that is late hides nothing of what is live", () => {
  const { io, socket, clock } = start();
  const products = io.collection("products");
  socket().opens().accepts("products", [A]);
  io.emit("products");
  clock.pass(ANSWER);
  assert.deepEqual([products.status, products.error], ["live", null]);
});

/** Give the client a page; return a function that says that the network is back. */
function onPage(t) {
  const page = new EventTarget();
  for (const name of ["addEventListener", "removeEventListener"]) {
    globalThis[name] = page[name].bind(page);
    t.after(() => delete globalThis[name]);
  }
  return () => page.dispatchEvent(new Event("online"));
}

for (const age of [0, 500, OPENING - 500]) {
  test(`the network's return abandons an attempt that has hung for ${age} ms`, (t) => {
    const online = onPage(t);
    const { io, clock, socket, sockets } = start();
    const products = io.collection("products");
    clock.pass(age);
    quietly(online);
    assert.equal(sockets.length, 2);
    assert.equal(sockets[0].closed, true);
    sockets[0].ends();
    sockets[0].onopen();
    assert.equal(io.status, "connecting");
    assert.equal(products.error?.attempts, age < 1_000 ? undefined : 1);
    socket().opens().accepts("products", [A]);
    assert.deepEqual([products.status, products.error], ["live", null]);
  });
}

test("hints that come together are one; the next one counts again", (t) => {
  const online = onPage(t);
  const { io, clock, sockets } = start();
  io.connect();
  online();
  online();
  assert.equal(sockets.length, 2);
  clock.pass(300);
  online();
  assert.equal(sockets.length, 3);
});

test("after the network's return waits start small again", (t) => {
  const online = onPage(t);
  const { io, clock, socket, sockets } = start();
  io.connect();
  for (let turn = 0; turn < 10; turn += 1) {
    quietly(() => socket().ends());
    clock.pass(15_000);
  }
  socket().ends();
  online();
  const count = sockets.length;
  socket().ends();
  clock.pass(250);
  assert.equal(sockets.length, count + 1);
});

/** A client whose `auth` is the test's; its connection is open. */
async function withAuth(auth, options = {}) {
  const session = start({ auth, ...options });
  session.listen("error");
  const products = session.io.collection("products");
  session.socket().opens();
  await setImmediate();
  const pass = async (milliseconds) => {
    session.clock.pass(milliseconds);
    await setImmediate();
  };
  return { ...session, products, pass };
}

test("a token function that never settles is unavailable after a while, and asked again", async () => {
  let calls = 0;
  const { io, socket, products, pass, take } = await withAuth(() => {
    calls += 1;
    return calls === 1 ? new Promise(() => {}) : "t2";
  });
  await pass(ANSWER - 1);
  assert.equal(products.error, null);
  await pass(1);
  assert.deepEqual(told(products.error), ["unavailable", true, undefined]);
  assert.equal(io.error.code, "unavailable");
  assert.match(io.error.detail, /auth/);
  assert.equal(take()[0][1].payload.code, "unavailable");
  await pass(1_000);
  assert.deepEqual([calls, last(socket).data.token], [2, "t2"]);
  socket().says("$auth", { ref: last(socket).data.ref, expires: null });
  assert.equal(io.error, null);
  socket().accepts("products", [A]);
  assert.deepEqual([products.status, products.error], ["live", null]);
});

for (const [name, token] of /** @type {[string, any][]} */ ([
  ["a number too big for JSON", 1n],
  ["what holds itself", Object.defineProperty([], 0, { get: () => assert.fail("itself") })],
  ["a function that nobody has called", () => "t1"],
  ["a symbol", Symbol("t1")],
])) {
  test(`a token that is no token, such as ${name}, is told at once, and another one asked for`, async () => {
    let calls = 0;
    const { io, products, pass, take } = await withAuth(() => {
      calls += 1;
      return calls === 1 ? token : null;
    });
    assert.deepEqual(told(products.error), ["unauthenticated", true, undefined]);
    assert.equal(take().length, 1);
    await pass(1_000);
    assert.deepEqual([calls, io.error], [2, null]);
  });
}

test("one that never settles is asked again and again, later each time", async () => {
  let calls = 0;
  const { clock, socket, pass } = await withAuth(() => {
    calls += 1;
    return new Promise(() => {});
  });
  for (const wait of [1_000, 1_500, 2_500]) {
    const before = calls;
    socket().says("$pong", 1);
    await pass(ANSWER + wait - 1);
    assert.equal(calls, before);
    clock.pass(1);
    assert.equal(calls, before + 1);
  }
});

test("what a token function brings late is taken, and only once", async () => {
  const waiting = [];
  const { socket, pass } = await withAuth(() => new Promise((...ends) => waiting.push(ends)));
  await pass(ANSWER);
  await pass(1_000);
  assert.equal(waiting.length, 2);
  waiting[0][0]("slow");
  await setImmediate();
  assert.equal(last(socket).data.token, "slow");
  waiting[1][1](new Error("too late to matter"));
  await setImmediate();
  socket().says("$auth", { ref: last(socket).data.ref, expires: null });
  assert.equal(last(socket).event, "products");
});

test("a renewal that hangs disturbs nothing that is live", async () => {
  let calls = 0;
  const { io, socket, products, pass } = await withAuth(() => {
    calls += 1;
    return calls === 1 ? "t1" : new Promise(() => {});
  });
  socket().says("$auth", { ref: 1, expires: 20 });
  socket().accepts("products", [A]);
  const ticks = () => socket().says("$pong", 1);
  await pass(15_000);
  ticks();
  await pass(ANSWER);
  assert.deepEqual([products.status, products.error], ["live", null]);
  assert.equal(io.error.code, "unavailable");
});

for (const [name, state] of Object.entries({
  "that hangs": () => new Promise(() => {}),
  "that has failed": () => Promise.reject(new Error("no network")),
})) {
  test(`the network's return asks a token function ${name} at once`, async (t) => {
    const online = onPage(t);
    let calls = 0;
    const { socket } = await withAuth(() => {
      calls += 1;
      return calls === 1 ? state() : "t2";
    });
    online();
    await setImmediate();
    assert.deepEqual([calls, last(socket).data.token], [2, "t2"]);
    online();
    await setImmediate();
    assert.equal(calls, 2);
  });
}

test("a token that the server looks at is not asked for again by a hint", async (t) => {
  const online = onPage(t);
  let calls = 0;
  await withAuth(() => {
    calls += 1;
    return "t";
  });
  online();
  await setImmediate();
  assert.equal(calls, 1);
});

/** A server that refuses in its own way; returns its port. */
async function refusing(t, server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return server.address().port;
}

const says = (line) => (_, socket) => socket.end(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`);
const page = (line) => createServer().on("upgrade", says(line));

for (const [name, make] of Object.entries({
  "a proxy's 502": () => page("502 Bad Gateway"),
  "runserver's 404": () => page("404 Not Found"),
  "a refused origin's 403": () => page("403 Forbidden"),
  "a cookie that is too large": () => page("431 Request Header Fields Too Large"),
  "a server that hangs up": () => createRawServer((socket) => void socket.destroy()),
  "another protocol": () =>
    createRawServer((socket) => void socket.end("220 mail.example ESMTP\r\n")),
})) {
  test(`really refused: ${name}`, REAL, async (t) => {
    const port = await refusing(t, make());
    const io = connect(`ws://127.0.0.1:${port}/ws/`, { WebSocket, random: () => 0.05 });
    t.after(() => io.close());
    const products = io.collection("products");
    const { warn } = console;
    console.warn = () => {};
    /** @type {any[]} */
    const heard = [];
    await new Promise((resolve) => {
      io.on("error", ({ payload }) => heard.push(payload) === 3 && resolve(undefined));
    });
    console.warn = warn;
    const codes = heard.map(({ code, attempts }) => [code, attempts]);
    assert.deepEqual(
      codes,
      [1, 2, 3].map((attempts) => ["unreachable", attempts]),
    );
    assert.deepEqual(told(/** @type {any} */ (products.error)), ["unreachable", true, 3]);
  });
}

test("nobody there, and then somebody: told, and then all is well", REAL, async (t) => {
  const raw = createRawServer();
  const port = await refusing(t, raw);
  await new Promise((resolve) => raw.close(resolve));
  const { warn } = console;
  console.warn = () => {};
  t.after(() => Object.assign(console, { warn }));
  const io = connect(`ws://127.0.0.1:${port}/ws/`, { WebSocket, random: () => 0.05 });
  t.after(() => io.close());
  const failed = new Promise((resolve) => io.on("error", resolve));
  const products = io.collection("products");
  await failed;
  assert.match(products.error?.detail ?? "", /ECONNREFUSED/);
  const server = new WebSocketServer({ port, host: "127.0.0.1" });
  t.after(() => server.close());
  server.on("connection", (socket) => {
    socket.on("message", (text) => {
      const { event, data } = JSON.parse(String(text));
      if (event !== "products") return;
      const answer = { ref: data.ref, event, params: {}, key: "id", ordered: true };
      socket.send(JSON.stringify({ event: "$subscribed", data: answer }));
      socket.send(JSON.stringify({ event, data: { action: "sync", payload: [A], cursor: "c" } }));
    });
  });
  assert.deepEqual(await products.ready, [A]);
  assert.equal(products.error, null);
  io.close();
});

test(
  "a server that takes the call and never answers is told of when its time is over",
  REAL,
  async (t) => {
    const open = new Set();
    const server = createRawServer((socket) => void open.add(socket));
    const port = await refusing(t, server);
    t.after(() => open.forEach((socket) => void socket.destroy()));
    const { warn } = console;
    console.warn = () => {};
    t.after(() => Object.assign(console, { warn }));
    const hurried = (fn, delay) => setTimeout(fn, delay / 100);
    const io = connect(`ws://127.0.0.1:${port}/ws/`, { WebSocket, setTimeout: hurried });
    t.after(() => io.close());
    const products = io.collection("products");
    await new Promise((resolve) => io.on("error", resolve));
    assert.match(products.error?.detail ?? "", /did not open in time/);
  },
);
