import assert from "node:assert/strict";
import { test } from "node:test";
import { comesBack, reconnectWait, retryDelay } from "../src/connection/backoff.js";

const most = () => 1;
const least = () => 0;
/** @type {(code: number, attempt: number, random: () => number) => number} */
const reconnectDelay = (code, attempt, random) => reconnectWait(code, attempt, random)[0];

test("the ceiling doubles from 250 ms to 30 s", () => {
  const ceilings = [0, 1, 2, 6, 7, 8, 2000].map((attempt) => reconnectDelay(1006, attempt, most));
  assert.deepEqual(ceilings, [250, 500, 1000, 16_000, 30_000, 30_000, 30_000]);
});

test("the jitter is full", () => {
  assert.equal(reconnectDelay(1006, 5, least), 0);
  assert.equal(
    reconnectDelay(1006, 5, () => 0.25),
    2000,
  );
});

test("a restart spreads clients over seconds from the first attempt", () => {
  assert.equal(reconnectDelay(1012, 0, most), 5_000);
  assert.equal(reconnectDelay(1012, 0, least), 0);
  assert.equal(reconnectDelay(1012, 9, most), 30_000);
});

for (const code of [4400, 4408, 4429]) {
  test(`${code} means a longer wait`, () => {
    assert.deepEqual(reconnectWait(code, 0, least), [5_000, false]);
    assert.deepEqual(reconnectWait(1006, 0, least), [0, true]);
    assert.equal(reconnectDelay(code, 0, least), 5_000);
    assert.equal(reconnectDelay(code, 0, most), 15_000);
    assert.equal(reconnectDelay(code, 9, most), 35_000);
  });
}

test("only 4401 and 4403 mean to stay away", () => {
  const codes = [1000, 1001, 1003, 1006, 1007, 1009, 1012, 1013, 4400, 4401, 4403, 4408, 4429];
  assert.deepEqual(
    codes.filter((code) => !comesBack(code, false)),
    [4401, 4403],
  );
});

test("asking again waits half a second at least, half a minute at most", () => {
  assert.equal(retryDelay(0, least), 500);
  assert.equal(retryDelay(0, most), 1_500);
  assert.equal(retryDelay(50, most), 30_500);
});
