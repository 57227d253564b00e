import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Heartbeat, IDLE, PATIENCE } from "../src/connection/heartbeat.js";
import { Clock } from "./surroundings.js";

let clock, pings, deaths, heart;

beforeEach(() => {
  clock = new Clock();
  pings = deaths = 0;
  heart = new Heartbeat(
    clock,
    () => {
      pings += 1;
    },
    () => {
      deaths += 1;
    },
  );
  heart._start();
});

test("asks after 20 s of silence, not before", () => {
  clock.pass(IDLE - 1);
  assert.equal(pings, 0);
  clock.pass(1);
  assert.equal(pings, 1);
});

test("asks nothing while the server speaks", () => {
  for (let second = 0; second < 100; second += 1) {
    clock.pass(1_000);
    heart._heard();
  }
  assert.equal(pings, 0);
  assert.equal(clock.pending, 1);
});

test("counts the silence from the last word", () => {
  clock.pass(15_000);
  heart._heard();
  clock.pass(IDLE - 1);
  assert.equal(pings, 0);
  clock.pass(1);
  assert.equal(pings, 1);
});

test("gives up 8 s after asking, and stops", () => {
  clock.pass(IDLE + PATIENCE - 1);
  assert.equal(deaths, 0);
  clock.pass(1);
  assert.equal(deaths, 1);
  clock.pass(10 * IDLE);
  assert.deepEqual([pings, deaths, clock.pending], [1, 1, 0]);
});

test("any word is a sign of life", () => {
  clock.pass(IDLE + PATIENCE - 1);
  heart._heard();
  clock.pass(IDLE - 1);
  assert.deepEqual([pings, deaths], [1, 0]);
  clock.pass(PATIENCE);
  assert.equal(pings, 2);
});

test("a probe asks now, and only once until it is answered", () => {
  clock.pass(5_000);
  heart._ping();
  heart._ping();
  assert.equal(pings, 1);
  clock.pass(PATIENCE);
  assert.equal(deaths, 1);
});

test("a probe of a heart that stopped does nothing", () => {
  heart._stop();
  heart._ping();
  clock.pass(10 * IDLE);
  assert.deepEqual([pings, deaths, clock.pending], [0, 0, 0]);
});

test("a machine that slept over the answer asks once more", () => {
  clock.pass(IDLE);
  clock.oversleep(3_600_000);
  assert.deepEqual([pings, deaths], [2, 0]);
  heart._heard();
  clock.pass(PATIENCE);
  assert.equal(deaths, 0);
});

test("but not for ever", () => {
  clock.pass(IDLE);
  clock.oversleep(3_600_000);
  clock.oversleep(3_600_000);
  assert.deepEqual([pings, deaths], [2, 1]);
});
