/** The client over real sockets: a small server that is stopped, started and held still. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { connect } from "../src/index.js";

/** A server of one binding, which speaks the contract as far as these tests go. */
class Server {
  asked = [];
  /** @type {any} */
  server;

  async start(port = 0) {
    this.server = new WebSocketServer({ port });
    this.server.on("connection", (socket) => this.#meet(socket));
    await once(this.server, "listening");
    this.port = this.server.address().port;
    return this;
  }

  async stop(code = 1012) {
    const closed = new Promise((resolve) => {
      this.server.close(resolve);
    });
    for (const socket of this.server.clients) {
      socket.close(code);
    }
    await closed;
  }

  say(event, data) {
    for (const socket of this.server.clients) {
      socket.send(JSON.stringify({ event, data }));
    }
  }

  #meet(socket) {
    socket.on("message", (text) => {
      const { event, data } = JSON.parse(text);
      this.asked.push([event, data]);
      if (event === "products") {
        this.#answer(data);
      }
    });
  }

  #answer({ ref, cursor }) {
    this.say("$subscribed", { ref, event: "products", params: {}, key: "id", ordered: true });
    const answer = cursor
      ? { action: "create", payload: { id: 2 }, after: 1, cursor: "c2" }
      : { action: "sync", payload: [{ id: 1 }], cursor: "c1" };
    this.say("products", answer);
  }
}

/**
 * Return a promise of the next data of an event.
 * @param {any} io
 * @param {string} event
 * @param {(data: any) => boolean} [fits]
 * @returns {Promise<any>}
 */
function next(io, event, fits = () => true) {
  return new Promise((resolve) => {
    const listener = (data) => {
      if (fits(data)) {
        io.off(event, listener);
        resolve(data);
      }
    };
    io.on(event, listener);
  });
}

test("subscribes, rides out a restart, and goes on from its cursor", async (t) => {
  const server = await new Server().start();
  const io = connect(`http://localhost:${server.port}/ws/`, { WebSocket, random: () => 0.05 });
  t.after(async () => {
    io.close();
    await server.stop();
  });
  const synced = next(io, "products");
  io.emit("products");
  assert.deepEqual((await synced).payload, [{ id: 1 }]);

  const lost = next(io, "disconnect");
  await server.stop();
  assert.equal((await lost).code, 1012);
  assert.equal(io.status, "connecting");

  const resumed = next(io, "products");
  await server.start(server.port);
  assert.deepEqual((await resumed).payload, { id: 2 });
  assert.deepEqual(server.asked.at(-1), ["products", { cursor: "c1", held: [1], ref: 2 }]);
});

test("stays away when it is told so", async (t) => {
  const server = await new Server().start();
  const io = connect(`ws://localhost:${server.port}/ws/`, { WebSocket });
  t.after(() => io.close());
  io.emit("products");
  await next(io, "products");
  const lost = next(io, "disconnect");
  await server.stop(4401);
  assert.deepEqual(await lost, { code: 4401, reason: "", willReconnect: false });
  assert.equal(io.status, "closed");
});

test("gives up a connection that has fallen silent", async (t) => {
  const server = await new Server().start();
  const hurried = (fn, delay) => setTimeout(fn, delay / 100);
  const io = connect(`ws://localhost:${server.port}/ws/`, {
    WebSocket,
    now: () => performance.now() * 100,
    setTimeout: hurried,
    random: () => 0.05,
  });
  t.after(async () => {
    io.close();
    await server.stop();
  });
  io.emit("products");
  const lost = await next(io, "disconnect");
  assert.equal(lost.reason, "no sign of life");
  const [event] = server.asked.at(-1);
  assert.equal(event, "$ping");
  await next(io, "status", (status) => status === "live");
});
