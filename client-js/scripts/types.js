/** Writes `types/*.d.ts` from the sources' JSDoc. */

import { execFileSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

await rm(`${ROOT}types`, { recursive: true, force: true });
const options = [
  "--noEmit",
  "false",
  "--emitDeclarationOnly",
  "--declaration",
  "--rootDir",
  "src",
  "--outDir",
  "types",
];
execFileSync("npx", ["tsc", ...options, "--stripInternal"], { cwd: ROOT, stdio: "inherit" });
