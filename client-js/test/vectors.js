/** The vectors that the Python tests read too. */

import { readFileSync } from "node:fs";

const FOLDER = new URL("../../tests/vectors/", import.meta.url);

export function vectors(name) {
  return JSON.parse(readFileSync(new URL(name, FOLDER), "utf8"));
}
