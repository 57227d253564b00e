import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { stale } from "../scripts/build.js";
import { FakeSocket } from "./surroundings.js";

const GENERATED = new URL("../../bindserver/static/bindserver/", import.meta.url);
/** How many bytes a file may have, gzipped. */
const BUDGETS = { "io.js": 6.5 * 1024, "bindserver.mjs": 7.1 * 1024 };
const script = readFileSync(new URL("io.js", GENERATED), "utf8");

/**
 * Run the script as a page's classic script, and return the page.
 * @param {{ href?: string, url?: string }} [where]
 */
function page({ href = "https://shop.example/cart/", url } = {}) {
  FakeSocket.all = [];
  const window = {
    URL,
    AbortController,
    console,
    performance,
    setTimeout,
    clearTimeout,
    queueMicrotask,
    WebSocket: FakeSocket,
    location: new URL(href),
    document: Object.assign(new EventTarget(), { currentScript: { dataset: { url } } }),
  };
  runInNewContext(script, window);
  return window;
}

test("the generated files are what the sources say", async () => {
  assert.deepEqual(await stale(), [], 'run "npm run build"');
});

test("no name that the bundles shorten is known outside the client", () => {
  const folder = new URL("../src/", import.meta.url);
  const sources = readdirSync(folder, { recursive: true })
    .filter((name) => String(name).endsWith(".js"))
    .map((name) => readFileSync(new URL(String(name), folder), "utf8"));
  assert.ok(sources.length > 20);
  for (const source of sources) {
    // A text, or a name in brackets, would stay as it is written.
    assert.doesNotMatch(source, /["'`]_\w|\b_\w+["'`]/);
  }
  const contract = readFileSync(new URL("../../docs/protocol.md", import.meta.url), "utf8");
  assert.doesNotMatch(contract, /"_\w+":/);
  assert.doesNotMatch(script, /\b_[a-z]\w+/i);
});

for (const [name, budget] of Object.entries(BUDGETS)) {
  test(`${name} is small`, () => {
    const size = gzipSync(readFileSync(new URL(name, GENERATED)), { level: 9 }).length;
    assert.ok(size <= budget, `${size} bytes gzipped`);
  });
}

test("the script defines io for the classic scripts after it", () => {
  const window = page();
  const heard = [];
  runInNewContext(
    'io.on("products", (data) => heard.push(data)); io.emit("products")',
    Object.assign(window, { heard }),
  );
  const [socket] = FakeSocket.all;
  assert.equal(socket.url, "wss://shop.example/ws/");
  socket.opens().accepts("products", [{ id: 1 }]);
  assert.equal(heard[0].payload[0].id, 1);
  window.io.close();
});

test("the script opens nothing by itself, and leaves only io behind", () => {
  const before = Object.keys(page());
  assert.deepEqual(FakeSocket.all, []);
  assert.equal(before.at(-1), "io");
  assert.equal(before.length, 11);
});

test("the script has the page's cookie for a proof, and asks for no other", async () => {
  const { io } = page();
  const products = io.collection("products");
  const [socket] = FakeSocket.all;
  socket.opens();
  assert.deepEqual(
    socket.messages.map(({ event }) => event),
    ["$hello", "products"],
  );
  await new Promise(setImmediate);
  socket.says("$auth", { action: "error", payload: { code: "unauthenticated" } });
  assert.equal(io.error, null);
  socket.says("products", {
    action: "error",
    ref: socket.lastRef,
    payload: { code: "unauthenticated" },
  });
  await assert.rejects(products.ready, { code: "unauthenticated", passing: false });
  io.close();
});

test("data-url names another server", () => {
  const { io } = page({ url: "//live.example/ws/" });
  io.connect().close();
  assert.equal(FakeSocket.all[0].url, "wss://live.example/ws/");
});

test("a page without a host is told what is missing", () => {
  assert.throws(() => page({ href: "file:///tmp/page.html" }), /no WebSocket address/);
});

test("the bundled module exports connect", async () => {
  const module = await import(new URL("bindserver.mjs", GENERATED).href);
  assert.deepEqual(Object.keys(module), ["connect"]);
  const io = module.connect("ws://shop.example/ws/", { WebSocket: FakeSocket });
  assert.equal(io.status, "idle");
});
