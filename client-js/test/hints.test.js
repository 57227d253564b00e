/** The network's return and the page's showing: whatever waits for another try is tried at once. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ANSWER } from "../src/connection/auth.js";
import { overheard, start } from "./surroundings.js";

const A = { id: 1 };
const asks = (socket) => socket().messages.filter(({ event }) => !event.startsWith("$"));
const error = (code, ref = 1) => ({ action: "error", ref, payload: { code, detail: "why" } });

/** Give the client a page; return a function for each hint. */
function onPage(t) {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { hidden: false });
  const given = {
    addEventListener: window.addEventListener.bind(window),
    removeEventListener: window.removeEventListener.bind(window),
    document,
  };
  Object.assign(globalThis, given);
  t.after(() => {
    for (const name of Object.keys(given)) delete globalThis[name];
  });
  return {
    online: () => window.dispatchEvent(new Event("online")),
    seen: () => document.dispatchEvent(new Event("visibilitychange")),
  };
}

/** States in which something waits for its next try; each returns how often it has been tried. */
const states = {
  "an attempt to connect that waits": async () => {
    const session = start();
    session.io.collection("products");
    overheard(() => session.socket().ends());
    return { ...session, tries: () => session.sockets.length };
  },
  "an attempt to connect that hangs": async () => {
    const session = start();
    session.io.collection("products");
    session.clock.pass(5_000);
    return { ...session, tries: () => session.sockets.length };
  },
  "a token function that hangs": async () => withAuth(() => new Promise(() => {})),
  "a token function that took too long": async () => {
    const session = await withAuth(() => new Promise(() => {}));
    session.clock.pass(ANSWER);
    session.socket().says("$pong", 1);
    assert.equal(session.io.error.code, "unavailable");
    return session;
  },
  "a token function that failed": async () => withAuth(() => Promise.reject(new Error("no"))),
  "a token that the server refused": async () => {
    const session = await withAuth(() => "t");
    session.socket().says("$auth", error("unauthenticated"));
    return session;
  },
  ...Object.fromEntries(
    ["unavailable", "internal", "rate_limited"].map((code) => [
      `a subscription that was refused with ${code}`,
      async () => {
        const session = start();
        session.io.collection("products");
        session.socket().opens().says("products", error(code));
        return { ...session, tries: () => asks(session.socket).length };
      },
    ]),
  ),
  "a subscription that ended with unavailable": async () => {
    const session = start();
    session.io.collection("products");
    session.socket().opens().accepts("products", [A]);
    session.socket().says("products", { action: "disconnect", code: "unavailable" });
    return { ...session, tries: () => asks(session.socket).length };
  },
  "a subscription whose frame made no sense": async () => {
    const session = start();
    session.io.collection("products");
    session.socket().opens();
    overheard(() => session.socket().accepts("products", [{ no: "key" }]));
    return { ...session, tries: () => asks(session.socket).length };
  },
};

async function withAuth(auth) {
  let calls = 0;
  const session = start({
    auth: () => {
      calls += 1;
      return auth();
    },
  });
  session.io.collection("products");
  session.socket().opens();
  await setImmediate();
  return { ...session, tries: () => calls };
}

for (const [name, reach] of Object.entries(states)) {
  for (const hint of ["online", "seen"]) {
    test(`${name} is tried again at once: ${hint}`, async (t) => {
      const page = onPage(t);
      const { clock, io, tries } = await reach();
      const before = tries();
      overheard(() => page[hint]());
      // One that was slowed down for its rate goes as soon as the rate allows, and no later.
      if (name.endsWith("rate_limited")) clock.pass(50);
      await setImmediate();
      assert.equal(tries(), before + 1);
      io.close();
    });
  }
}

test("what waits for an answer, or for its first rows, is not asked for twice", (t) => {
  const page = onPage(t);
  const { io, socket, clock } = start();
  io.collection("products");
  io.collection("orders");
  socket().opens().says("$subscribed", { ref: 1, event: "products", params: {}, key: "id" });
  page.online();
  clock.pass(1_000);
  page.seen();
  assert.equal(asks(socket).length, 2);
});

test("a storm of hints asks for nothing twice", (t) => {
  const page = onPage(t);
  const { io, socket, clock } = start();
  io.collection("products");
  socket().opens().says("products", error("unavailable"));
  for (let turn = 0; turn < 200; turn += 1) {
    page.online();
    page.seen();
    clock.pass(10);
  }
  assert.equal(asks(socket).length, 2);
});
