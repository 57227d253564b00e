import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Window } from "happy-dom";
import { start } from "./surroundings.js";

const window = new Window({ url: "http://shop.example/" });
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
globalThis.navigator ??= /** @type {any} */ (window.navigator);
after(() => window.close());

const React = await import("react");
const { createRoot, hydrateRoot } = await import("react-dom/client");
const { renderToString } = await import("react-dom/server");
const { useCollection } = await import("../src/react.js");
const { act, createElement: h, StrictMode, useSyncExternalStore } = React;

const [A, B] = [1, 2].map((id) => ({ id, name: `row ${id}` }));
const asks = (socket) => socket().messages.filter(({ event }) => !event.startsWith("$"));
const settle = () => act(() => new Promise((done) => setTimeout(done)));

/** Render into a fresh element; `renders` has what the component saw each time. */
function stage() {
  const element = document.createElement("div");
  const root = createRoot(element);
  const show = (node, Mode = StrictMode) => act(() => root.render(h(Mode, null, node)));
  return { element, show, text: () => element.textContent, leave: () => act(() => root.unmount()) };
}

/** @param {{ io: any, params?: any, options?: any, renders?: any[], key?: number }} props */
function Rows({ io, params, options, renders }) {
  const { rows, status, get } = useCollection(io, "products", params, options);
  renders?.push({ rows, status, get });
  return h("p", null, `${status}: ${rows.map(({ name }) => name).join(", ")}`);
}

test("in StrictMode: shows, follows, keeps rows' identity, and asks once", async () => {
  const { io, socket } = start();
  const { show, text, leave } = stage();
  const renders = [];
  await show(h(Rows, { io, renders }));
  assert.equal(text(), "connecting: ");
  await act(() => socket().opens().accepts("products", [A, B]));
  assert.equal(text(), "live: row 1, row 2");
  const before = renders.at(-1);
  await act(() =>
    socket().says("products", { action: "update", payload: { id: 2, name: "new" }, cursor: "c2" }),
  );
  assert.equal(text(), "live: row 1, new");
  assert.equal(renders.at(-1).rows[0], before.rows[0]);
  assert.equal(renders.at(-1).get(2).name, "new");
  await settle();
  assert.equal(asks(socket).length, 1);
  await leave();
  await settle();
  assert.equal(asks(socket).at(-1).data.disconnect, true);
});

test("equal params in a new object are the same collection; a step is one render", async () => {
  const { io, socket } = start();
  const { show, leave } = stage();
  const renders = [];
  const params = { category: 3 };
  const node = () => h(Rows, { io, params: { category: 3 }, renders });
  await show(node(), React.Fragment);
  await act(() => socket().opens().accepts("products", [A, B], { params }));
  await show(node(), React.Fragment);
  const count = renders.length;
  const payload = [1, 2].map((id) => ({ action: "update", payload: { id, name: "x" } }));
  await act(() => socket().says("products", { action: "batch", payload, params, cursor: "c2" }));
  assert.equal(renders.length, count + 1);
  await settle();
  assert.equal(asks(socket).length, 1);
  await leave();
});

test("components whose params only the server knows for the same show the same", async () => {
  const { io, socket } = start();
  const { show, text, leave } = stage();
  const params = { category: 3 };
  const one = h(Rows, { io, params, key: 1 });
  const subscribed = (ref) =>
    socket().says("$subscribed", { ref, event: "products", params, key: "id" });
  await show(one);
  await act(() => socket().opens().accepts("products", [A, B], { params }));
  await show([one, h(Rows, { io, params: { category: "3" }, key: 2 })]);
  await act(() => subscribed(2));
  assert.equal(text(), "live: row 1, row 2live: row 1, row 2");
  await show(h(Rows, { io, params: { category: "3" }, key: 2 }));
  await settle();
  assert.equal(text(), "live: row 1, row 2");
  assert.equal(asks(socket).length, 2);
  await leave();
});

test("an error that passes is shown beside the rows, which stay", async (t) => {
  const { io, socket, clock } = start();
  const { show, text, leave } = stage();
  const Both = () => {
    const { rows, status, error } = useCollection(io, "products");
    return `${status} ${rows.length} ${error?.code} ${error?.passing} ${error?.attempts}`;
  };
  await show(h(Both));
  t.mock.method(console, "warn", () => {});
  await act(() => socket().ends());
  assert.equal(text(), "connecting 0 unreachable true 1");
  await act(() => clock.pass(125));
  await act(() => socket().opens().accepts("products", [A, B]));
  assert.equal(text(), "live 2 undefined undefined undefined");
  await act(() => socket().ends());
  assert.equal(text(), "stale 2 unreachable true 0");
  await leave();
});

test("other params are another collection, and the old one is let go of", async () => {
  const { io, socket } = start({ queueMicrotask });
  const { show, text, leave } = stage();
  await show(h(Rows, { io, params: { category: 3 } }));
  await act(() =>
    socket()
      .opens()
      .accepts("products", [A], { params: { category: 3 } }),
  );
  await show(h(Rows, { io, params: { category: 4 } }));
  assert.equal(text(), "connecting: ");
  await settle();
  const said = asks(socket).map(({ data }) => [data.params.category, data.disconnect]);
  assert.deepEqual(said, [
    [3, undefined],
    [4, undefined],
    [3, true],
  ]);
  await leave();
});

test("two components share one subscription, and one may take the other's place", async () => {
  const { io, socket } = start();
  const { show, text, leave } = stage();
  await show([h(Rows, { io, key: 1 }), h(Rows, { io, key: 2 })]);
  await act(() => socket().opens().accepts("products", [A]));
  assert.equal(text(), "live: row 1live: row 1");
  await show(h(Rows, { io, key: 3 }));
  await settle();
  assert.equal(text(), "live: row 1");
  assert.equal(asks(socket).length, 1);
  await leave();
});

test("without a client nothing is asked for, until there is one", async () => {
  const { io, socket } = start();
  const { show, text, leave } = stage();
  await show(h(Rows, { io: null }));
  assert.equal(text(), "connecting: ");
  await show(h(Rows, { io }));
  await act(() => socket().opens().accepts("products", [A]));
  assert.equal(text(), "live: row 1");
  await leave();
});

test("a plain useSyncExternalStore works as well", async () => {
  const { io, socket } = start();
  const { show, text, leave } = stage();
  const products = io.collection("products");
  const Plain = () => useSyncExternalStore(products.subscribe, () => products.rows).length;
  await show(h(Plain));
  await act(() => socket().opens().accepts("products", [A, B]));
  assert.equal(text(), "2");
  await leave();
  assert.equal(products.status, "live");
});

test("on a server it renders what it begins with, and opens nothing", () => {
  const { io, sockets } = start();
  const options = { initial: { rows: [A], cursor: "h1" } };
  assert.match(renderToString(h(Rows, { io })), /connecting: </);
  assert.match(renderToString(h(Rows, { io: null, options })), /stale: row 1</);
  assert.equal(sockets.length, 0);
});

test("hydrated, it goes on from the snapshot without a word of difference", async () => {
  const { io, socket } = start();
  const options = { initial: { rows: [A], cursor: "h1" } };
  const element = document.createElement("div");
  element.innerHTML = renderToString(h(Rows, { io: null, options }));
  const errors = [];
  const onRecoverableError = (error) => errors.push(error);
  let root;
  await act(() => {
    root = hydrateRoot(element, h(Rows, { io, options }), { onRecoverableError });
  });
  assert.equal(element.textContent, "stale: row 1");
  await act(() => socket().opens());
  assert.deepEqual(asks(socket)[0].data, { cursor: "h1", held: [1], ref: 1 });
  await act(() => {
    socket().says("$subscribed", { ref: 1, event: "products", params: {}, key: "id" });
    socket().says("products", { action: "ok", cursor: "c2" });
  });
  assert.equal(element.textContent, "live: row 1");
  assert.deepEqual(errors, []);
  await act(() => root.unmount());
});

test("several collections of one transaction change in one render", async () => {
  const { io, socket } = start();
  const { show, leave } = stage();
  const seen = [];
  const Both = () => {
    const [left] = useCollection(io, "left").rows;
    const [right] = useCollection(io, "right").rows;
    seen.push([left?.n, right?.n]);
    return null;
  };
  await show(h(Both));
  const row = (n) => [{ id: 1, n }];
  await act(() => {
    socket().opens().accepts("left", row(1), { ref: 1 });
    socket().accepts("right", row(1), { ref: 2 });
  });
  seen.splice(0);
  socket().says("$begin");
  await act(() => socket().says("left", { action: "update", payload: row(2)[0], cursor: "c2" }));
  await act(() => socket().says("right", { action: "update", payload: row(2)[0], cursor: "c2" }));
  await act(() => socket().says("$commit"));
  assert.ok(seen.length > 0);
  assert.ok(seen.every(([left, right]) => left === 2 && right === 2));
  await leave();
});
