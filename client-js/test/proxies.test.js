/** Behind the proxies of Vue, Alpine and MobX, and behind any other. */

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Window } from "happy-dom";
import { autorun, makeAutoObservable, observable } from "mobx";
import { start } from "./surroundings.js";

const window = new Window({ url: "http://shop.example/" });
for (const name of ["window", "document", "MutationObserver", "Element", "Node", "ShadowRoot"]) {
  globalThis[name] = name === "window" ? window : window[name];
}
for (const name of [
  "HTMLElement",
  "SVGElement",
  "MathMLElement",
  "CustomEvent",
  "HTMLTemplateElement",
]) {
  globalThis[name] = window[name] ?? class {};
}
after(() => window.close());

const { reactive, ref, shallowReactive, readonly } = await import("@vue/reactivity");
const vue = await import("vue");
const alpine = /** @type {any} */ (await import("alpinejs"));
const Alpine = alpine.Alpine ?? alpine.default.Alpine;

const [A, B] = [1, 2].map((id) => ({ id, name: `row ${id}` }));
const update = (payload, cursor) => ({ action: "update", payload, cursor });

/** Wrap every object that is handed out, as a strict membrane does. */
function membrane(object) {
  return new Proxy(object, {
    get(target, name, receiver) {
      const value = Reflect.get(target, name, receiver);
      const own = Object.getOwnPropertyDescriptor(target, name);
      const fixed = own && !own.configurable && !own.writable;
      return typeof value === "object" && value !== null && !fixed && !(value instanceof Promise)
        ? membrane(value)
        : value;
    },
  });
}

/** @type {Record<string, (object: any) => any>} */
const wrappers = {
  "new Proxy(…, {})": (object) => new Proxy(object, {}),
  "a proxy of a proxy": (object) => new Proxy(new Proxy(object, {}), {}),
  "a membrane": membrane,
  "Object.create": (object) => Object.create(object),
  "Vue's reactive": (held) => reactive({ held }).held,
  "Vue's ref": (held) => ref(held).value,
  "Vue's shallowReactive": (held) => shallowReactive({ held }).held,
  "Vue's readonly": (held) => readonly(reactive({ held })).held,
  "Vue's data()": (held) => {
    const app = vue.createSSRApp({ data: () => ({ held }), render: () => null });
    return /** @type {any} */ (app.mount(document.createElement("div"))).held;
  },
  "Alpine's reactive": (held) => Alpine.reactive({ held }).held,
  "MobX's observable": (held) => observable({ held }).held,
  "MobX's makeAutoObservable": (held) =>
    makeAutoObservable(
      new (class {
        held = held;
      })(),
    ).held,
  "nothing at all": (held) => held,
};

for (const [name, wrap] of Object.entries(wrappers)) {
  test(`every member of a collection works behind ${name}`, async () => {
    const { io, socket } = start();
    const products = wrap(io.collection("products"));
    assert.deepEqual(
      [[...products.rows], products.status, products.error],
      [[], "connecting", null],
    );
    let steps = 0;
    const undo = products.subscribe(() => {
      steps += 1;
    });
    socket().opens().accepts("products", [A, B]);
    assert.deepEqual(await products.ready, [A, B]);
    assert.deepEqual([...products.rows], [A, B]);
    assert.equal(products.get(2).name, "row 2");
    assert.equal(products.get(9), undefined);
    assert.equal(products.status, "live");
    socket().says("products", update({ id: 2, name: "new" }, "c2"));
    assert.equal(products.get(2).name, "new");
    undo();
    socket().ends();
    assert.deepEqual([steps, products.status, products.error.code], [2, "stale", "unreachable"]);
    products.close();
    products.close();
    assert.equal(products.status, "closed");
  });

  test(`every member of io works behind ${name}`, () => {
    const session = start();
    const { socket, sockets } = session;
    const io = wrap(session.io);
    const heard = [];
    const listener = ({ action }) => heard.push(action);
    io.on("products", listener).emit("products").connect();
    assert.deepEqual([io.status, io.error], ["connecting", null]);
    socket().opens().accepts("products", [A]);
    const products = io.collection("products", wrap({}));
    assert.deepEqual([...products.rows], [A]);
    io.off("products", listener).emit("products", { disconnect: true });
    products.close();
    io.close();
    assert.deepEqual([io.status, heard, sockets.length], ["closed", ["sync"], 1]);
  });
}

test("members work on their own", () => {
  const { io, socket } = start();
  const { collection, emit, on } = io;
  on("orders", () => {});
  emit("orders");
  const { get, close } = collection("products");
  socket().opens();
  socket().accepts("products", [A], { ref: 2 });
  assert.deepEqual(get(1), A);
  close();
});

test("what is frozen or observed by others is no hindrance", () => {
  const { io, socket } = start();
  const initial = { rows: observable([{ ...A }]), cursor: "h1" };
  const products = Object.freeze(io.collection("products", reactive({ n: 1 }), { initial }));
  assert.deepEqual(products.get(1).name, "row 1");
  socket()
    .opens()
    .accepts("products", [A, B], { params: { n: 1 } });
  assert.equal(products.rows.length, 2);
});

for (const [name, wrap] of Object.entries(wrappers)) {
  test(`a page may begin with rows behind ${name}, and keeps them`, () => {
    const { io, socket } = start();
    const given = wrap([{ ...A }, { ...B }]);
    const options = { initial: { rows: given, cursor: "h1" } };
    if (!Array.isArray(given)) {
      assert.throws(() => io.collection("products", null, options), TypeError);
      return;
    }
    const products = io.collection("products", null, options);
    const names = (rows) => rows.map((row) => row.name);
    assert.deepEqual(
      [names(products.rows), names(given)],
      [
        ["row 1", "row 2"],
        ["row 1", "row 2"],
      ],
    );
    assert.throws(() => /** @type {any} */ (products.rows).reverse(), TypeError);
    socket()
      .opens()
      .accepts("products", [A, { ...B, name: "new" }]);
    assert.deepEqual([names(products.rows), products.status], [["row 1", "new"], "live"]);
    assert.deepEqual(names(given), ["row 1", "row 2"]);
  });
}

test("rows that Vue is given are the rows themselves", () => {
  const { io, socket } = start();
  const products = io.collection("products");
  socket().opens().accepts("products", [A]);
  assert.equal(reactive({ products }).products.rows, products.rows);
  assert.equal(reactive({ rows: products.rows }).rows[0], products.rows[0]);
});

test("Vue: the composable of the guide follows, and closes with its scope", async () => {
  const { io, socket } = start();
  const { useCollection } = await guide("vue");
  const scope = vue.effectScope();
  const products = scope.run(() => useCollection(io, "products"));
  const seen = [];
  const stop = vue.watchEffect(() => {
    const { rows, status } = products.value;
    seen.push([status, rows.length]);
  });
  socket().opens().accepts("products", [A]);
  await vue.nextTick();
  socket().says("products", { action: "create", payload: B, after: 1, cursor: "c2" });
  await vue.nextTick();
  assert.deepEqual(seen, [
    ["connecting", 0],
    ["live", 1],
    ["live", 2],
  ]);
  stop();
  scope.stop();
  assert.equal(socket().messages.at(-1).data.disconnect, true);
});

test("Alpine: the component of the guide shows rows, and closes with its element", async () => {
  const { io, socket } = start();
  const { products } = await guide("alpine");
  const root = document.createElement("ul");
  root.setAttribute("x-data", "products");
  root.innerHTML =
    '<template x-for="row in rows" :key="row.id"><li x-text="row.name"></li></template>';
  document.body.append(root);
  Alpine.data("products", () => products(io));
  Alpine.start();
  socket().opens().accepts("products", [A, B]);
  await Alpine.nextTick();
  const texts = () => [...root.querySelectorAll("li")].map((each) => each.textContent);
  assert.deepEqual(texts(), ["row 1", "row 2"]);
  socket().says("products", update({ id: 2, name: "new" }, "c2"));
  await Alpine.nextTick();
  assert.deepEqual(texts(), ["row 1", "new"]);
  Alpine.destroyTree(root);
  assert.equal(socket().messages.at(-1).data.disconnect, true);
});

test("MobX: the store of the guide is observed", async () => {
  const { io, socket } = start();
  const { Products } = await guide("mobx");
  const store = new Products(io);
  const seen = [];
  const stop = autorun(() => seen.push(store.rows.length));
  socket().opens().accepts("products", [A, B]);
  assert.deepEqual(seen, [0, 2]);
  assert.equal(store.rows, store.products.rows);
  stop();
});

/** Return what a snippet of the guide exports: the one that imports a package. */
async function guide(name) {
  const { readFileSync } = await import("node:fs");
  const text = readFileSync(new URL("../../docs/javascript.md", import.meta.url), "utf8");
  const snippets = [...text.matchAll(/```javascript\n(.*?)```/gs)].map(([, code]) => code);
  const code = snippets.find((each) => each.includes(`// ${name}`));
  assert.ok(code, `a snippet that says "// ${name}"`);
  const resolved = code.replaceAll(
    /from "(vue|mobx)"/g,
    (_, it) => `from "${import.meta.resolve(it)}"`,
  );
  return import(`data:text/javascript,${encodeURIComponent(resolved)}`);
}
