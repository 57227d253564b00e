/**
 * The states of a subscription, and where what happens leads from each of them.
 *
 *     IDLE ---asked---> ASKED ---accepted---> ACCEPTED ---served---> SERVED
 *
 * A stream that stands may be asked for again, which leads to ACCEPTED_ASKED or SERVED_ASKED and, once
 * that is answered, back. Whoever starts over has no stream, and waits for an answer as before. A
 * connection that is lost ends in IDLE; CLOSED is final.
 *
 * Each part of a state is a bit, so that a state includes others, as `SERVED` includes `ACCEPTED`.
 * `test/states.test.js` has the table, `test/subscription.table.test.js` what each state does.
 */

/** There is no stream, and no ask that waits for an answer. */
export const IDLE = 0;
/** An ask waits for its answer. */
export const ASKED = 1;
/** Frames of this connection are ours to apply; the rows are still those of an earlier one. */
export const ACCEPTED = 2;
/** The rows are those of such frames. */
export const SERVED = 4 | ACCEPTED;
export const ACCEPTED_ASKED = ACCEPTED | ASKED;
export const SERVED_ASKED = SERVED | ASKED;
/** It has ended for good. */
export const CLOSED = 8;

/** @typedef {(state: number) => number} Transition */

/** We have asked. @type {Transition} */
export const asked = (state) => state | ASKED;

/** The newest ask was answered, be it by a refusal. @type {Transition} */
export const answered = (state) => state & ~ASKED;

/** The newest ask was answered by a stream. @type {Transition} */
export const accepted = (state) => (state & ~ASKED) | ACCEPTED;

/** A frame of the stream was applied. @type {Transition} */
export const served = (state) => state | SERVED;

/** The stream is of no use. @type {Transition} */
export const startedOver = (state) => state & ASKED;
