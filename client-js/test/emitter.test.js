import assert from "node:assert/strict";
import { test } from "node:test";
import { Listeners } from "../src/sync/emitter.js";
import { start } from "./surroundings.js";

/** Listeners whose calls are noted; `does` is what the first one does when it is called. */
function three(does) {
  const listeners = new Listeners();
  const calls = [];
  const [one, two, three] = ["one", "two", "three"].map((name) => () => {
    calls.push(name);
    if (name === "one") does(listeners, { one, two, three });
  });
  for (const fn of [one, two, three]) listeners.add("x", fn);
  return { listeners, calls };
}

for (const [name, does, now, then] of /** @type {[string, any, string[], string[]][]} */ ([
  ["removed", (all, { two }) => all.remove("x", two), ["one", "three"], ["one", "three"]],
  ["all removed", (all) => all.remove("x"), ["one"], []],
  [
    "that removes itself",
    (all, { one }) => all.remove("x", one),
    ["one", "two", "three"],
    ["two", "three"],
  ],
  [
    "removed and added again",
    (all, { two }) => {
      all.remove("x", two);
      all.add("x", two);
    },
    ["one", "three"],
    ["one", "three"],
  ],
])) {
  test(`a listener ${name} meanwhile: called ${now.join(", ")}`, () => {
    const { listeners, calls } = three(does);
    listeners.tell("x", null);
    assert.deepEqual(calls.splice(0), now);
    listeners.tell("x", null);
    assert.deepEqual(calls, then);
  });
}

test("a listener that is added meanwhile is called from the next event on", () => {
  const { listeners, calls } = three((all) => all.add("x", late));
  const late = () => calls.push("late");
  listeners.tell("x", null);
  assert.deepEqual(calls.splice(0), ["one", "two", "three"]);
  listeners.tell("x", null);
  assert.deepEqual(calls, ["one", "two", "three", "late"]);
});

test("one that is added twice is called once, in its first place", () => {
  const { listeners, calls } = three(() => {});
  listeners.add("x", () => calls.push("four"));
  const twice = () => calls.push("twice");
  listeners.add("x", twice);
  listeners.add("x", twice);
  listeners.tell("x", null);
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
  const listeners = new Listeners();
  const calls = [];
  globalThis.reportError = (problem) => {
    throw problem;
  };
  t.after(() => Reflect.deleteProperty(globalThis, "reportError"));
  listeners.add("x", (data) => {
    calls.push(data);
    throw new Error("mine");
  });
  for (const data of [1, 2]) {
    assert.throws(() => listeners.tell("x", data), { message: "mine" });
  }
  assert.deepEqual(calls, [1, 2]);
});
