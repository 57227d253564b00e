/** Collections against the replica, by chance: the same rows, the same objects, one call a step. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Replica } from "../src/sync/replica.js";
import { start } from "./surroundings.js";

const copy = (value) => JSON.parse(JSON.stringify(value));
const key = fc.nat(12);
const row = fc.record({
  id: key,
  n: fc.nat(2),
  deep: fc.constantFrom({ a: [1] }, { a: [2] }, null),
});
const rows = fc.uniqueArray(row, { selector: ({ id }) => id, maxLength: 10 });
const after = fc.option(fc.record({ after: fc.option(key) }), { nil: {} });
const change = fc
  .oneof(
    fc.tuple(fc.constantFrom("create", "update"), row, after),
    fc.tuple(fc.constant("delete"), fc.record({ id: key }), fc.constant({})),
  )
  .map(([action, payload, place]) => ({ action, payload, ...place }));
/** What a batch says of a key it says once: it is a net change. */
const batch = fc.uniqueArray(change, { selector: ({ payload }) => payload.id, maxLength: 6 });
const pages = fc.integer({ min: 1, max: 3 });
const frame = fc.oneof(
  { weight: 5, arbitrary: change.map((data) => [data]) },
  {
    weight: 3,
    arbitrary: fc.tuple(batch, pages).map(([payload, count]) => paged("batch", payload, count)),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(rows, pages).map(([payload, count]) => paged("sync", payload, count)),
  },
  { weight: 1, arbitrary: fc.constantFrom([{ action: "ok" }], [{ action: "stale" }]) },
);

/** Cut a list into pages; one page says nothing of pages. */
function paged(action, payload, count) {
  if (count === 1) return [{ action, payload }];
  const size = Math.ceil(payload.length / count);
  return Array.from({ length: count }, (_, index) => ({
    action,
    payload: payload.slice(index * size, (index + 1) * size),
    page: index + 1,
    pages: count,
  }));
}

/** Hold the rows against the ones before: what says the same is the same object. */
function sameObjects(before, rows) {
  const old = new Map(before.map((each) => [each.id, each]));
  for (const each of rows) {
    const known = old.get(each.id);
    if (known && JSON.stringify(known) === JSON.stringify(each)) {
      assert.equal(each, known);
    }
  }
}

test("a collection has the replica's rows after every frame, in one call a step", () => {
  fc.assert(
    fc.property(rows, fc.array(frame, { maxLength: 12 }), (first, frames) => {
      const { io, socket } = start();
      const replica = new Replica("id");
      const collection = io.collection("products");
      let calls = 0;
      collection.subscribe(() => {
        calls += 1;
      });
      socket().opens().accepts("products", first);
      replica._take(copy({ action: "sync", payload: first, cursor: "c1" }));
      assert.equal(calls, 1);
      for (const parts of frames) {
        const [before, status, count] = [collection.rows, collection.status, calls];
        const kept = structuredClone(before);
        for (const part of parts) {
          socket().says("products", part);
          replica._take(copy(part));
        }
        const { rows } = collection;
        assert.deepEqual(rows, replica._rows());
        assert.deepEqual(before, kept, "an array that was handed out has changed");
        sameObjects(before, rows);
        const differs = JSON.stringify(rows) !== JSON.stringify(before);
        assert.equal(rows !== before, differs);
        assert.equal(calls - count, differs || collection.status !== status ? 1 : 0);
        for (const each of rows) assert.equal(collection.get(each.id), each);
      }
    }),
    { numRuns: 400 },
  );
});

test("between marks nothing is seen, and behind them all of it in one step", () => {
  const turn = fc.array(fc.tuple(fc.constantFrom("left", "right"), change), { maxLength: 6 });
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 8 }), (turns) => {
      const { io, socket } = start();
      const names = ["left", "right"];
      const [left, right] = names.map((name) => io.collection(name));
      const replicas = { left: new Replica("id"), right: new Replica("id") };
      socket().opens();
      names.forEach((name, index) => {
        socket().accepts(name, [], { ref: index + 1 });
        replicas[name]._take({ action: "sync", payload: [], cursor: "c1" });
      });
      const present = () => names.map((name) => replicas[name]._rows());
      let committed = present();
      const look = () => assert.deepEqual([left.rows, right.rows], committed);
      left.subscribe(look);
      right.subscribe(look);
      for (const changes of turns) {
        socket().says("$begin");
        for (const [name, data] of changes) {
          socket().says(name, data);
          replicas[name]._take(copy(data));
          look();
        }
        committed = present();
        socket().says("$commit", { state: "s" });
        look();
      }
    }),
    { numRuns: 200 },
  );
});
