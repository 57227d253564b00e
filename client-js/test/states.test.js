/** Where each transition leads from each of a subscription's states. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ACCEPTED,
  ACCEPTED_ASKED,
  ASKED,
  accepted,
  answered,
  asked,
  CLOSED,
  IDLE,
  SERVED,
  SERVED_ASKED,
  served,
  startedOver,
} from "../src/sync/states.js";

const STATES = { IDLE, ASKED, ACCEPTED, SERVED, ACCEPTED_ASKED, SERVED_ASKED };
const TRANSITIONS = { asked, answered, accepted, served, startedOver };

const TABLE = {
  asked: {
    IDLE: "ASKED",
    ASKED: "ASKED",
    ACCEPTED: "ACCEPTED_ASKED",
    SERVED: "SERVED_ASKED",
    ACCEPTED_ASKED: "ACCEPTED_ASKED",
    SERVED_ASKED: "SERVED_ASKED",
  },
  answered: {
    IDLE: "IDLE",
    ASKED: "IDLE",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED",
    SERVED_ASKED: "SERVED",
  },
  accepted: {
    IDLE: "ACCEPTED",
    ASKED: "ACCEPTED",
    ACCEPTED: "ACCEPTED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "ACCEPTED",
    SERVED_ASKED: "SERVED",
  },
  served: {
    IDLE: "SERVED",
    ASKED: "SERVED_ASKED",
    ACCEPTED: "SERVED",
    SERVED: "SERVED",
    ACCEPTED_ASKED: "SERVED_ASKED",
    SERVED_ASKED: "SERVED_ASKED",
  },
  startedOver: {
    IDLE: "IDLE",
    ASKED: "ASKED",
    ACCEPTED: "IDLE",
    SERVED: "IDLE",
    ACCEPTED_ASKED: "ASKED",
    SERVED_ASKED: "ASKED",
  },
};

test("each transition leads from each state to a state that has a name", () => {
  const found = Object.entries(TRANSITIONS).map(([transition, leads]) => [
    transition,
    Object.fromEntries(
      Object.entries(STATES).map(([name, state]) => [
        name,
        Object.keys(STATES).find((other) => STATES[other] === leads(state)),
      ]),
    ),
  ]);
  assert.deepEqual(Object.fromEntries(found), TABLE);
});

test("no state is another one, and only CLOSED is apart from all others", () => {
  const codes = Object.values(STATES);
  assert.equal(new Set([...codes, CLOSED]).size, codes.length + 1);
  assert.ok(codes.every((code) => (code & CLOSED) === 0));
});
