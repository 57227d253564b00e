/**
 * How long to wait before trying again. Full jitter: a random part of a ceiling that doubles, so
 * that the clients of a server that went away do not come back all at once.
 */

const BASE = 250;
const CAP = 30_000;
const RETRY_BASE = 1_000;
const RETRY_FLOOR = 500;
const RESTART_SPREAD = 5_000;
const PATIENT_FLOOR = 5_000;
const PATIENT_SPREAD = 10_000;

const RESTART = 1012;
/** Too many malformed messages, too slow, too many messages: our own doing. */
const PATIENT = [4400, 4408, 4429];
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
 * Return whether a close code asks for a long wait, which nothing should cut short.
 *
 * @param {number} code
 */
export function isPatient(code) {
  return PATIENT.includes(code);
}

/**
 * Return the milliseconds to wait before connecting again.
 *
 * @param {number} code the close code of the connection that ended.
 * @param {number} attempt how many attempts have failed since a stable connection, from 0.
 * @param {() => number} random
 */
export function reconnectDelay(code, attempt, random) {
  const most = ceiling(BASE, attempt);
  if (isPatient(code)) {
    return PATIENT_FLOOR + random() * Math.max(most, PATIENT_SPREAD);
  }
  return random() * (code === RESTART ? Math.max(most, RESTART_SPREAD) : most);
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
