import assert from "node:assert/strict";
import { test } from "node:test";
import { OPENING, STABLE } from "../src/connection/connection.js";
import { socketUrl } from "../src/connection/url.js";
import { watchPage } from "../src/connection/visibility.js";
import { connect } from "../src/index.js";
import { FakeSocket, overheard, start, startSubscribed } from "./surroundings.js";

test("nothing is opened before the first emit", () => {
  const { io, sockets } = start();
  io.on("products", () => {});
  assert.equal(sockets.length, 0);
  assert.equal(io.status, "idle");
  io.emit("products");
  io.emit("orders");
  assert.equal(sockets.length, 1);
  assert.equal(io.status, "connecting");
});

test("connect() opens, once", () => {
  const { io, sockets, socket } = start();
  io.connect().connect();
  socket().opens();
  io.connect();
  assert.equal(sockets.length, 1);
  assert.equal(io.status, "live");
});

test("asks for the subprotocol at the address it was given", () => {
  const { io, socket } = start();
  io.connect();
  assert.equal(socket().url, "ws://shop.example/ws/");
  assert.deepEqual(socket().protocols, ["bindserver.v1"]);
});

test("tells its status and what happens to it", () => {
  const { io, clock, listen, take, socket } = start();
  listen("status", "connect", "disconnect");
  io.connect();
  socket().opens();
  socket().ends(1013, "try later");
  clock.pass(125);
  socket().opens();
  io.close();
  io.close();
  assert.deepEqual(take(), [
    ["status", "connecting"],
    ["status", "live"],
    ["connect", undefined],
    ["status", "connecting"],
    ["disconnect", { code: 1013, reason: "try later", willReconnect: true, delay: 125 }],
    ["status", "live"],
    ["connect", undefined],
    ["status", "closed"],
    ["disconnect", { code: 1000, reason: "closed by the client", willReconnect: false }],
  ]);
  assert.equal(clock.pending, 0);
});

test("waits grow while attempts fail, and start small after a stable connection", () => {
  const { io, clock, listen, take, socket } = start({ random: () => 1 });
  listen("disconnect");
  const delay = () => take()[0][1].delay;
  io.connect();
  for (const wait of [250, 500, 1000]) {
    socket().ends();
    clock.pass(wait);
  }
  socket().opens();
  clock.pass(STABLE - 1);
  socket().ends();
  assert.equal(delay(), 2000);
  clock.pass(2000);
  socket().opens();
  clock.pass(STABLE);
  socket().ends();
  assert.equal(delay(), 250);
});

for (const code of [4401, 4403]) {
  test(`${code} closes it for good, until connect()`, () => {
    const { io, clock, listen, take, socket, sockets } = start();
    listen("disconnect");
    io.emit("products");
    socket().opens().ends(code, "why");
    clock.pass(1_000_000);
    io.emit("orders");
    assert.equal(sockets.length, 1);
    assert.equal(io.status, "closed");
    assert.deepEqual(take(), [["disconnect", { code, reason: "why", willReconnect: false }]]);
    io.connect();
    socket().opens();
    assert.deepEqual(
      socket().messages.map(({ event }) => event),
      ["products", "orders"],
    );
  });
}

test("a dead connection is given up at once and dialled again", () => {
  const { io, clock, listen, take, socket, sockets } = start();
  listen("disconnect");
  io.connect();
  socket().opens();
  clock.pass(20_000);
  assert.deepEqual(socket().messages, [{ event: "$ping", data: 1 }]);
  clock.pass(8_000);
  assert.equal(sockets[0].closed, true);
  assert.deepEqual(take(), [
    ["disconnect", { code: 1006, reason: "no sign of life", willReconnect: true, delay: 125 }],
  ]);
  clock.pass(125);
  assert.equal(sockets.length, 2);
});

test("a pong keeps it alive", () => {
  const { io, clock, socket, sockets } = start();
  io.connect();
  socket().opens();
  for (let number = 1; number < 10; number += 1) {
    clock.pass(20_000);
    assert.deepEqual(socket().messages.at(-1), { event: "$ping", data: number });
    socket().says("$pong", number);
  }
  assert.equal(sockets.length, 1);
});

test("what a socket says after it was given up is not heard", () => {
  const { clock, listen, take, sockets } = startSubscribed();
  listen("disconnect");
  clock.pass(28_000);
  take();
  sockets[0].says("products", { action: "delete", payload: { id: 1 }, cursor: "c9" });
  sockets[0].ends(4401);
  clock.pass(125);
  sockets[0].onopen();
  assert.deepEqual(take(), []);
  assert.equal(sockets.length, 2);
});

test("a socket that does not open is given up", () => {
  const { io, clock, sockets } = start();
  io.connect();
  clock.pass(OPENING + 125);
  assert.equal(sockets.length, 2);
  assert.equal(sockets[0].closed, true);
});

test("a socket that cannot be made is tried again", () => {
  let made = 0;
  function Broken() {
    made += 1;
    throw new Error("refused");
  }
  const { io, clock } = start({ WebSocket: Broken });
  const lines = overheard(() => io.connect());
  assert.match(lines[0], /refused/);
  assert.equal(io.status, "connecting");
  overheard(() => clock.pass(1_000));
  assert.ok(made > 1);
});

test("close() while waiting ends the wait", () => {
  const { io, clock, socket, sockets } = start();
  io.connect();
  socket().ends();
  io.close();
  clock.pass(1_000_000);
  assert.equal(sockets.length, 1);
  assert.equal(io.status, "closed");
});

test("close() before a socket has opened gives it up", () => {
  const { io, clock, socket } = start();
  io.connect().close();
  assert.equal(socket().closed, true);
  assert.equal(clock.pending, 0);
});

test("after close(), connect() goes on from there", () => {
  const { io, socket } = startSubscribed([{ id: 1 }, { id: 2 }]);
  io.close();
  io.connect();
  socket().opens();
  assert.deepEqual(socket().messages, [
    { event: "products", data: { cursor: "c1", held: [1, 2], ref: 2 } },
  ]);
});

/** A window, as far as we look into one. */
function page() {
  const document = Object.assign(new EventTarget(), { hidden: true });
  return Object.assign(new EventTarget(), { document });
}

test("the network's return and the page's showing are hints", () => {
  const surroundings = page();
  let looks = 0;
  const stop = watchPage(() => {
    looks += 1;
  }, surroundings);
  surroundings.dispatchEvent(new Event("online"));
  assert.equal(looks, 1);
  surroundings.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(looks, 1);
  surroundings.document.hidden = false;
  surroundings.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(looks, 2);
  stop();
  surroundings.dispatchEvent(new Event("online"));
  surroundings.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(looks, 2);
});

test("a page without events is no harm", () => {
  watchPage(() => assert.fail(), {})();
  watchPage(() => assert.fail(), { document: {} })();
});

/** Give the client a page; return a function that brings the network back. */
function onPage(t) {
  const surroundings = page();
  for (const name of ["addEventListener", "removeEventListener"]) {
    globalThis[name] = surroundings[name].bind(surroundings);
    t.after(() => delete globalThis[name]);
  }
  return () => surroundings.dispatchEvent(new Event("online"));
}

test("a hint cuts the wait short", (t) => {
  const online = onPage(t);
  const { io, clock, socket, sockets } = start();
  io.connect();
  socket().ends(1012);
  online();
  assert.equal(sockets.length, 2);
  online();
  clock.pass(10_000);
  assert.equal(sockets.length, 2);
});

test("a hint makes a live connection prove itself", (t) => {
  const online = onPage(t);
  const { io, socket, clock, sockets } = start();
  io.connect();
  socket().opens();
  clock.pass(10);
  online();
  assert.deepEqual(socket().messages, [{ event: "$ping", data: 1 }]);
  clock.pass(8_125);
  assert.equal(sockets.length, 2);
});

test("a hint does not cut short a wait that we brought upon ourselves", (t) => {
  const online = onPage(t);
  const { io, clock, socket, sockets } = start();
  io.connect();
  socket().opens().ends(4429);
  online();
  assert.equal(sockets.length, 1);
  clock.pass(10_000);
  assert.equal(sockets.length, 2);
});

test("a hint opens nothing that was closed", (t) => {
  const online = onPage(t);
  const { io, sockets } = start();
  io.connect().close();
  online();
  assert.equal(sockets.length, 1);
});

test("binary messages are a sign of life and nothing more", () => {
  const { io, socket, listen, take } = start();
  listen("error");
  io.connect();
  socket().opens().saysText(new ArrayBuffer(3));
  assert.deepEqual(take(), []);
});

/** @type {[string, string | undefined, string][]} */
const addresses = [
  ["/ws/", "https://shop.example/a/b?c#d", "wss://shop.example/ws/"],
  ["/ws/", "http://localhost:8000/", "ws://localhost:8000/ws/"],
  ["live/", "http://shop.example/app/", "ws://shop.example/app/live/"],
  ["//other.example/ws/", "https://shop.example/", "wss://other.example/ws/"],
  ["https://other.example/ws/?a=1", undefined, "wss://other.example/ws/?a=1"],
  ["ws://other.example/ws/#x", undefined, "ws://other.example/ws/"],
  ["HTTPS://other.example:8443/ws", undefined, "wss://other.example:8443/ws"],
  ["ws://other.example/ws/?to=http://a/", undefined, "ws://other.example/ws/?to=http://a/"],
];

for (const [url, base, expected] of addresses) {
  test(`${url} on ${base ?? "no page"} is ${expected}`, () => {
    assert.equal(socketUrl(url, base), expected);
  });
}

for (const [url, base, expected] of addresses.filter(([url]) => /^\w+:/.test(url))) {
  for (const [name, Class] of Object.entries(mobileUrls())) {
    test(`${url} is ${expected} with React Native's URL, ${name}`, (t) => {
      const { URL } = globalThis;
      t.after(() => Object.assign(globalThis, { URL }));
      Object.assign(globalThis, { URL: Class });
      assert.equal(socketUrl(url, base), expected);
      assert.throws(() => socketUrl("/ws/", undefined), /no WebSocket address/);
      assert.throws(() => socketUrl("ftp://shop.example/"), /no WebSocket address/);
    });
  }
}

test("an address object of React Native's is read as a text", () => {
  const { older } = mobileUrls();
  const url = /** @type {any} */ (new older("https://shop.example/ws/"));
  assert.equal(socketUrl(url), "wss://shop.example/ws/");
});

/** React Native's URL as far as it goes: no setters, no relative addresses, a slash at every end. */
function mobileUrls() {
  class Newer {
    #text;
    constructor(text, base) {
      if (base) throw new TypeError(`Invalid base URL: ${base}`);
      this.#text = text.endsWith("/") ? text : `${text}/`;
    }
    get href() {
      return this.#text;
    }
    get protocol() {
      return this.#text.split("//")[0];
    }
    toString() {
      return this.#text;
    }
  }
  class Older extends Newer {
    /** @override */
    get protocol() {
      throw new Error("URL.protocol is not implemented");
    }
    get hash() {
      throw new Error("URL.hash is not implemented");
    }
  }
  return { newer: Newer, older: Older, missing: undefined };
}

/** @type {[string, string | undefined][]} */
const noAddresses = [
  ["/ws/", undefined],
  ["/ws/", "file:///tmp/page.html"],
  ["ftp://shop.example/", undefined],
  ["ws://", undefined],
  ["ws://[shop/ws/", undefined],
  ["shop.example:8000/ws/", undefined],
];

for (const [url, base] of noAddresses) {
  test(`${url} on ${base ?? "no page"} is no address`, () => {
    assert.throws(() => socketUrl(url, base), TypeError);
  });
}

test("connect() says what it lacks", () => {
  assert.throws(() => connect(undefined, { WebSocket: FakeSocket }), /no WebSocket address/);
  if (globalThis.WebSocket === undefined) {
    assert.throws(() => connect("ws://shop.example/"), /options\.WebSocket/);
  }
});
