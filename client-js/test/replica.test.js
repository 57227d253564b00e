import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Replica } from "../src/sync/replica.js";
import { vectors } from "./vectors.js";

const row = (id, version = 0) => ({ id, version });

function filled(...rows) {
  const replica = new Replica("id");
  replica._take({ action: "sync", payload: rows, cursor: "c1" });
  return replica;
}

/** What the vectors say of a call: action, payload, and the place where one is named. */
function summary({ action, payload = null, ...rest }) {
  return "after" in rest ? [action, payload, rest.after] : [action, payload];
}

for (const { name, key, steps } of vectors("replica.json")) {
  test(`vector: ${name}`, () => {
    const replica = new Replica(key);
    for (const { data, rows, calls } of steps) {
      assert.deepEqual((replica._take(data) ?? []).map(summary), calls);
      assert.deepEqual(replica._rows(), rows);
      assert.deepEqual(
        replica._keys(),
        rows.map((row) => row[key]),
      );
    }
  });
}

test("keeps the newest cursor, and takes none from a page that is not the last", () => {
  const replica = filled(row(1));
  replica._take({ action: "stale" });
  assert.equal(replica._cursor, "c1");
  replica._take({ action: "batch", page: 1, pages: 2, payload: [], cursor: "odd" });
  assert.equal(replica._cursor, "c1");
  replica._take({ action: "batch", page: 2, pages: 2, payload: [], cursor: "c2" });
  assert.equal(replica._cursor, "c2");
  replica._take({ action: "ok", cursor: "c3" });
  assert.equal(replica._cursor, "c3");
  replica._take({ action: "unheard-of", cursor: "c4" });
  assert.equal(replica._cursor, "c3");
});

test("only the last call of a batch has the cursor; each has the params", () => {
  const params = { category: 3 };
  const payload = [
    { action: "create", payload: row(2), after: 1 },
    { action: "update", payload: row(1, 1) },
  ];
  const calls = filled(row(1))._take({ action: "batch", payload, params, cursor: "c2" });
  assert.deepEqual(calls, [
    { action: "create", payload: row(2), after: 1, params },
    { action: "update", payload: row(1, 1), params, cursor: "c2" },
  ]);
});

test("an interrupted answer leaves the old rows and cursor", () => {
  const replica = filled(row(1));
  replica._take({ action: "sync", page: 1, pages: 2, payload: [row(2)] });
  replica._interrupt();
  const last = { action: "sync", page: 2, pages: 2, payload: [row(3)], cursor: "c2" };
  assert.throws(() => replica._take(last), /out of place|between pages/);
  assert.deepEqual(replica._rows(), [row(1)]);
  assert.equal(replica._cursor, "c1");
});

const bad = {
  "a sync without a list": { action: "sync", payload: {} },
  "a sync with a row without key": { action: "sync", payload: [row(5), { name: "x" }] },
  "a row that is none": { action: "create", payload: null, after: null },
  "a key that is a fraction": { action: "create", payload: row(1.5), after: null },
  "a key beyond the safe integers": { action: "create", payload: row(2 ** 53), after: null },
  "a place that is none": { action: "create", payload: row(2), after: {} },
  "a batch without a list": { action: "batch", payload: "x" },
  "a page without a list": { action: "batch", page: 1, pages: 2, payload: null },
  "a page that nothing came before": { action: "batch", page: 2, pages: 2, payload: [] },
  "a batch with one bad row": {
    action: "batch",
    payload: [
      { action: "delete", payload: { id: 1 } },
      { action: "create", payload: {} },
    ],
  },
};

for (const [name, data] of Object.entries(/** @type {Record<string, any>} */ (bad))) {
  test(`refuses ${name}, and applies no part of it`, () => {
    const replica = filled(row(1));
    assert.throws(
      () => replica._take({ ...data, cursor: "c2" }),
      /no key or place|no list|out of place/,
    );
    assert.deepEqual(replica._rows(), [row(1)]);
    assert.equal(replica._cursor, "c1");
  });
}

test("refuses a change between pages, and a page of another answer", () => {
  const page = { action: "batch", page: 1, pages: 3, payload: [] };
  const strangers = [
    { action: "create", payload: row(2), after: null },
    { ...page, page: 3 },
    { ...page, page: 2, pages: 4 },
    { ...page, action: "sync", page: 2 },
  ];
  for (const stranger of strangers) {
    const replica = filled(row(1));
    replica._take(page);
    assert.throws(() => replica._take(stranger), /./);
  }
});

/** The contract read word by word: splices, one by one. */
function applyNaively(rows, changes) {
  const order = [...rows];
  const at = (id) => order.findIndex((row) => row.id === id);
  for (const { action, payload, after } of changes) {
    const old = at(payload.id);
    if (old >= 0) order.splice(old, 1);
    if (action === "delete") continue;
    const behind = after == null ? -1 : at(after);
    const place = after === undefined ? (old >= 0 ? old : order.length) : behind + 1;
    order.splice(place, 0, payload);
  }
  return order;
}

/** Two orders of rows, old and new, over integer and string keys that look alike. */
const states = fc
  .uniqueArray(fc.oneof(fc.nat(30), fc.nat(30).map(String)), { maxLength: 40 })
  .chain((keys) =>
    fc.tuple(fc.shuffledSubarray(keys), fc.shuffledSubarray(keys), fc.infiniteStream(fc.boolean())),
  );

/** A batch that a server could send between two states; chance decides which rows stay put. */
function batchBetween(before, after, chance) {
  const deletes = before.filter((id) => !after.includes(id));
  let last = -1;
  const puts = after.map((id, index) => {
    const old = before.indexOf(id);
    const put = { action: old < 0 ? "create" : "update", payload: row(id, 1) };
    if (old > last && chance.next().value) {
      last = old;
      return put;
    }
    return { ...put, after: index === 0 ? null : after[index - 1] };
  });
  return [...deletes.map((id) => ({ action: "delete", payload: { id } })), ...puts];
}

test("a batch leads from any state to any other, once or twice, at once or one by one", () => {
  fc.assert(
    fc.property(states, ([before, after, chance]) => {
      const rows = before.map((id) => row(id));
      const payload = batchBetween(before, after, chance);
      const expected = applyNaively(rows, payload);
      assert.deepEqual(
        expected.map(({ id }) => id),
        after,
      );
      const atOnce = filled(...rows);
      const oneByOne = filled(...rows);
      for (let time = 0; time < 2; time += 1) {
        atOnce._take({ action: "batch", payload, cursor: "c2" });
        payload.forEach((change) => {
          oneByOne._take(change);
        });
        assert.deepEqual(atOnce._rows(), expected);
        assert.deepEqual(oneByOne._rows(), expected);
      }
    }),
    { numRuns: 500 },
  );
});

test("a batch with few moves equals the naive reading, and so does one cut into pages", () => {
  const moves = fc.array(fc.tuple(fc.nat(19), fc.boolean(), fc.option(fc.nat(19))), {
    maxLength: 15,
  });
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(19)), moves, fc.integer({ min: 1, max: 4 }), (...drawn) => {
      const [ids, moved, pages] = drawn;
      const rows = ids.map((id) => row(id));
      const payload = [];
      let model = rows;
      for (const [id, deleted, after] of moved) {
        const known = after === null || model.some((row) => row.id === after);
        if (!known || after === id) continue;
        const change = deleted
          ? { action: "delete", payload: { id } }
          : { action: "update", payload: row(id, payload.length + 1), after };
        payload.push(change);
        model = applyNaively(model, [change]);
      }
      const replica = filled(...rows);
      const size = Math.ceil(payload.length / pages);
      for (let page = 1; page <= pages; page += 1) {
        const part = payload.slice((page - 1) * size, page * size);
        replica._take({ action: "batch", page, pages, payload: part });
      }
      assert.deepEqual(replica._rows(), model);
    }),
    { numRuns: 500 },
  );
});

test("a batch that reverses 50,000 rows leaves them reversed", () => {
  const count = 50_000;
  const ids = Array.from({ length: count }, (_, index) => index);
  const replica = filled(...ids.map((id) => row(id)));
  const payload = ids.toReversed().map((id) => ({
    action: "update",
    payload: row(id, 1),
    after: id === count - 1 ? null : id + 1,
  }));
  replica._take({ action: "batch", payload, cursor: "c2" });
  assert.deepEqual(replica._keys(), ids.toReversed());
});
