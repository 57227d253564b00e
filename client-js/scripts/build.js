/** Bundles the sources for pages without a build step; `--check` only says whether that is due. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BANNER = "/*! bindserver, BSD-2-Clause */";
const STATIC = fileURLToPath(new URL("../../bindserver/static/bindserver/", import.meta.url));

/** @type {{entry: string, file: string, format: "iife" | "esm"}[]} */
const BUNDLES = [
  { entry: "src/script.js", file: "io.js", format: "iife" },
  { entry: "src/index.js", file: "bindserver.mjs", format: "esm" },
];

/** Return the bundles' paths and texts. */
export async function bundles() {
  return Promise.all(
    BUNDLES.map(async ({ entry, file, format }) => {
      const { outputFiles } = await build({
        absWorkingDir: ROOT,
        entryPoints: [entry],
        bundle: true,
        minify: true,
        write: false,
        format,
        target: "es2022",
        mangleProps: /^_/,
      });
      return { path: STATIC + file, text: await squeezed(outputFiles[0].text) };
    }),
  );
}

/** @param {string} text */
async function squeezed(text) {
  const { code } = await minify(text, {
    compress: {
      passes: 3,
      ecma: 2020,
      sequences: false,
      toplevel: true,
      unsafe: true, // "new Error()" without its "new", and the like: nobody has changed what these are
      unsafe_undefined: true,
    },
    mangle: { toplevel: true },
    module: true,
    format: { preamble: BANNER },
  });
  return `${code}\n`;
}

/** Return the paths of the generated files that do not say what the sources say. */
export async function stale() {
  const made = await bundles();
  const found = await Promise.all(
    made.map(({ path }) => readFile(path, "utf8").catch(() => undefined)),
  );
  return made.filter(({ text }, index) => text !== found[index]).map(({ path }) => path);
}

async function main() {
  if (process.argv.includes("--check")) {
    const paths = await stale();
    paths.forEach((path) => {
      console.error(`${path} is stale: run "npm run build"`);
    });
    process.exitCode = paths.length > 0 ? 1 : 0;
    return;
  }
  for (const { path, text } of await bundles()) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    console.log(`${path}: ${text.length} bytes, ${gzipSync(text, { level: 9 }).length} gzipped`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main();
}
