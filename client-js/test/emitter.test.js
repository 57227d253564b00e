import assert from "node:assert/strict";
import { test } from "node:test";
import { Emitter } from "../src/sync/emitter.js";
import { start } from "./surroundings.js";

/** Listeners whose calls are noted; `does` is what the first one does when it is called. */
function three(does) {
  const emitter = new Emitter();
  const calls = [];
  const [one, two, three] = ["one", "two", "three"].map((name) => () => {
    calls.push(name);
    if (name === "one") does(emitter, { one, two, three });
  });
  for (const fn of [one, two, three]) emitter._add("x", fn);
  return { emitter, calls };
}

for (const [name, does, now, then] of /** @type {[string, any, string[], string[]][]} */ ([
  ["removed", (all, { two }) => all._remove("x", two), ["one", "three"], ["one", "three"]],
  ["all removed", (all) => all._remove("x"), ["one"], []],
  [
    "that removes itself",
    (all, { one }) => all._remove("x", one),
    ["one", "two", "three"],
    ["two", "three"],
  ],
  [
    "removed and added again",
    (all, { two }) => {
      all._remove("x", two);
      all._add("x", two);
    },
    ["one", "three"],
    ["one", "three"],
  ],
])) {
  test(`a listener ${name} meanwhile: called ${now.join(", ")}`, () => {
    const { emitter, calls } = three(does);
    emitter._tell("x", null);
    assert.deepEqual(calls.splice(0), now);
    emitter._tell("x", null);
    assert.deepEqual(calls, then);
  });
}

test("a listener that is added meanwhile is called from the next event on", () => {
  const { emitter, calls } = three((all) => all._add("x", late));
  const late = () => calls.push("late");
  emitter._tell("x", null);
  assert.deepEqual(calls.splice(0), ["one", "two", "three"]);
  emitter._tell("x", null);
  assert.deepEqual(calls, ["one", "two", "three", "late"]);
});

test("one that is added twice is called once, in its first place", () => {
  const { emitter, calls } = three(() => {});
  emitter._add("x", () => calls.push("four"));
  const twice = () => calls.push("twice");
  emitter._add("x", twice);
  emitter._add("x", twice);
  emitter._tell("x", null);
  assert.deepEqual(calls, ["one", "two", "three", "four", "twice"]);
});

test("off within a call counts at once, and so does the end of a collection's subscriber", () => {
  const { io, socket } = start();
  const calls = [];
  const second = () => calls.push("second");
  io.on("connect", () => io.off("connect", second)).on("connect", second);
  const products = io.collection("products");
  products.subscribe(() => undo());
  const undo = products.subscribe(() => calls.push("subscriber"));
  socket().opens().accepts("products", []);
  assert.deepEqual(calls, []);
});

test("a collection that another one's subscriber closes tells nobody of the step", () => {
  const { io, socket } = start();
  const calls = [];
  const [left, right] = ["left", "right"].map((event) => io.collection(event));
  left.subscribe(() => right.close());
  right.subscribe(() => calls.push(right.status));
  socket().opens();
  socket().says("$begin");
  socket().accepts("left", [], { ref: 1 });
  socket().accepts("right", [], { ref: 2 });
  socket().says("$commit");
  assert.deepEqual(calls, []);
});

test("what a listener brings about is heard after what it was called for, by all", () => {
  const { io, socket } = start();
  const heard = [];
  io.on("status", (status) => status === "live" && io.close());
  for (const event of ["status", "connect", "disconnect"]) {
    io.on(event, (data) => heard.push(event === "status" ? data : event));
  }
  io.connect();
  socket().opens();
  assert.deepEqual(heard, ["connecting", "live", "closed", "disconnect"]);
});

test("a message's listeners hear it before the end that one of them wishes", () => {
  const { io, socket } = start();
  const heard = [];
  io.on("products", ({ action }) => action === "sync" && io.emit("products", { disconnect: true }));
  io.on("products", ({ action }) => heard.push(action));
  io.emit("products");
  socket().opens();
  socket().accepts("products", [{ id: 1 }]);
  socket().says("products", { action: "disconnect", ref: 2 });
  assert.deepEqual(heard, ["sync", "disconnect"]);
});

test("a page whose reportError throws harms later events no more", (t) => {
  const emitter = new Emitter();
  const calls = [];
  globalThis.reportError = (problem) => {
    throw problem;
  };
  t.after(() => Reflect.deleteProperty(globalThis, "reportError"));
  emitter._add("x", (data) => {
    calls.push(data);
    throw new Error("mine");
  });
  for (const data of [1, 2]) {
    assert.throws(() => emitter._tell("x", data), { message: "mine" });
  }
  assert.deepEqual(calls, [1, 2]);
});
