import assert from "node:assert/strict";
import { test } from "node:test";
import { canonical, parse, ping } from "../src/sync/messages.js";
import { start } from "./surroundings.js";
import { vectors } from "./vectors.js";

/** Bring a client to where it holds these rows, and break its connection. */
function comeBack({ socket, clock, io }, event, options, { held, cursor = null }) {
  const params = options?.params ?? {};
  const rows = held.map((id) => ({ id }));
  io.emit(event, options);
  socket().opens().accepts(event, rows, { params, cursor });
  socket().ends();
  clock.pass(60_000);
  socket().opens();
}

for (const { name, emit, state, text } of vectors("client_messages.json")) {
  const [event, options] = emit;
  test(`vector: ${name}`, () => {
    if (event === "$ping") {
      assert.equal(ping(options), text);
      return;
    }
    const session = start();
    if (state) {
      comeBack(session, event, options, state);
    } else {
      session.io.connect();
      session.socket().opens();
      session.io.emit(event, options);
    }
    assert.equal(session.socket().sent.at(-1), text);
  });
}

test("canonical params have their names sorted at every depth, and no surprises", () => {
  assert.equal(canonical(), "{}");
  assert.equal(canonical(null), "{}");
  assert.equal(canonical({ b: [{ d: 1, c: 2 }], a: null }), '{"a":null,"b":[{"c":2,"d":1}]}');
  assert.equal(canonical({ b: 1, a: undefined }), '{"b":1}');
  assert.equal(canonical({ day: new Date(0) }), '{"day":"1970-01-01T00:00:00.000Z"}');
});

test("parse returns event and data", () => {
  assert.deepEqual(parse('{"event":"products","data":{"action":"ok"},"more":1}'), {
    event: "products",
    data: { action: "ok" },
  });
  assert.deepEqual(parse('{"event":"$pong","data":7}'), { event: "$pong", data: 7 });
});

for (const text of ["", "{", "[]", "null", "7", "{}", '{"event":7}', '{"event":"products"}']) {
  test(`parse refuses ${text || "nothing"}`, () => {
    assert.throws(() => parse(text), /no event or data|JSON/);
  });
}
