/**
 * How long to wait before trying again. Full jitter: a random part of a ceiling that doubles, so
 * that the clients of a server that went away do not come back all at once.
 */

const BASE = 250;
const CAP = 30_000;
const RETRY_BASE = 1_000;
const RETRY_FLOOR = 500;
/** The shortest wait, and the least spread upon it, where it was our own doing. */
const PATIENT = [5_000, 10_000];

/** @type {Record<number, number[]>} */
const WAITS = {
  1012: [0, 5_000], // a restart, of which all clients know at the same time
  4400: PATIENT, // too many malformed messages
  4408: PATIENT, // too slow
  4429: PATIENT, // too many messages
};
export const UNAUTHENTICATED = 4401;
const FORBIDDEN = 4403;

/**
 * Return whether a close code means that the client should come back. Not authenticated, refused:
 * coming back by ourselves would change nothing, unless there is another proof to be had.
 *
 * @param {number} code
 * @param {boolean} hasProofs
 */
export function comesBack(code, hasProofs) {
  return code !== FORBIDDEN && (code !== UNAUTHENTICATED || hasProofs);
}

/**
 * Return the milliseconds to wait before connecting again, and whether a hint may cut that short.
 *
 * @param {number} code the close code of the connection that ended.
 * @param {number} attempt how many attempts have failed since a stable connection, from 0.
 * @param {() => number} random
 * @returns {[delay: number, hurries: boolean]}
 */
export function reconnectWait(code, attempt, random) {
  const [floor = 0, spread = 0] = WAITS[code] ?? [];
  return [floor + random() * Math.max(ceiling(BASE, attempt), spread), floor === 0];
}

/**
 * Return the milliseconds to wait before asking again for what the server could not give.
 *
 * @param {number} attempt how many times in a row it could not, from 0.
 * @param {() => number} random
 */
export function retryDelay(attempt, random) {
  return RETRY_FLOOR + random() * ceiling(RETRY_BASE, attempt);
}

/**
 * @param {number} base
 * @param {number} attempt
 */
function ceiling(base, attempt) {
  return Math.min(CAP, base * 2 ** attempt);
}
