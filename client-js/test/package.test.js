/** The package as npm serves it: packed, installed into an empty folder, imported, type-checked. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "bindserver-"));
after(() => rmSync(folder, { recursive: true }));

const run = (file, args, cwd = folder) =>
  execFileSync(file, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** Run something, and return what it wrote when it failed. */
function complaint(file, args) {
  try {
    run(file, args);
    return "";
  } catch (error) {
    const { stdout, stderr } = /** @type {any} */ (error);
    return `${stdout}${stderr}`;
  }
}

/** Let the folder's programs use packages that our own tests have, as if they were installed. */
function lend(...names) {
  for (const name of names) {
    symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name), "dir");
  }
}

let packed;

before(() => {
  [packed] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder], ROOT));
  writeFileSync(join(folder, "package.json"), '{"private": true, "type": "module"}');
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(folder, packed.filename)]);
});

test("it holds the sources, their types, the README and the licence, and nothing else", () => {
  const paths = packed.files.map(({ path }) => path);
  for (const path of ["README.md", "LICENSE", "package.json", "src/react.js", "types/react.d.ts"]) {
    assert.ok(paths.includes(path), path);
  }
  const strangers = paths.filter(
    (path) => !/^(src|types)\/(?:(?:connection|sync)\/)?[a-z]+\.(js|d\.ts)$/.test(path),
  );
  assert.deepEqual(strangers.sort(), ["LICENSE", "README.md", "package.json"]);
});

test("it installs without any other package", () => {
  const installed = readdirSync(join(folder, "node_modules")).filter((name) => name[0] !== ".");
  assert.deepEqual(installed, ["bindserver"]);
});

test("Node imports it", () => {
  const program = `
    import { connect } from "bindserver";
    class Silent { close() {} send() {} }
    const io = connect("ws://shop.example/ws/", { WebSocket: Silent });
    const products = io.collection("products");
    console.log(io.status, products.status, products.rows.length);
    io.close();
  `;
  writeFileSync(join(folder, "program.js"), program);
  assert.equal(run("node", ["program.js"]), "connecting connecting 0\n");
});

test("a TypeScript program sees the rows' types, and its mistakes", () => {
  lend("react", "@types", "csstype", "ws", "undici-types");
  const right = `
    import { connect, type Client, type Collection, type CollectionStatus } from "bindserver";
    import { useCollection } from "bindserver/react";
    import { WebSocket } from "ws";
    interface Product { id: number; name: string }
    const io: Client = connect("ws://x/ws/", { auth: async () => "token", WebSocket });
    const products: Collection<Product> = io.collection<Product>(
      "products", { category: 3 }, { initial: { rows: [], cursor: null }, page_size: 500 });
    const names: string[] = products.rows.map((row) => row.name);
    const found: Product | undefined = products.get(7);
    const first: readonly Product[] = await products.ready;
    const undo: () => void = products.subscribe(() => {});
    const code: string | undefined = products.error?.code;
    export function useNames(): [string[], CollectionStatus] {
      const { rows, status, get } = useCollection<Product>(io, "products", { category: 3 });
      const one: Product | undefined = get(1);
      return [rows.map(({ name }) => name + one?.name), status];
    }
    io.on("products", (data) => data.action).emit("products", { disconnect: true });
    const loose: any = io.collection("anything").rows[0]?.whatever;
    export { names, found, first, undo, code, loose };
  `;
  const wrong = `
    import { connect } from "bindserver";
    import { useCollection } from "bindserver/react";
    interface Product { id: number }
    const io = connect();
    io.collection<Product>("products").rows.push({ id: 1 });
    io.collection<Product>("products").rows[0]!.name;
    io.collection("products", 7);
    io.collection("products", {}, { initial: { cursor: "c" } });
    useCollection<Product>(io, "products").status === "open";
  `;
  writeFileSync(join(folder, "right.ts"), right);
  writeFileSync(join(folder, "wrong.ts"), wrong);
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"];
  for (const lib of [
    ["--types", "node"],
    ["--lib", "es2022,dom", "--types", "node"],
  ]) {
    assert.equal(complaint(tsc, [...options, ...lib, "right.ts"]), "");
  }
  const lines = complaint(tsc, [...options, "--types", "node", "wrong.ts"]).match(
    /^wrong\.ts\(\d+/gm,
  );
  assert.deepEqual(
    lines,
    [6, 7, 8, 9, 10].map((line) => `wrong.ts(${line}`),
  );
});

test("the snippets of the guide and the README are programs without a mistake", () => {
  const pages = ["../../docs/javascript.md", "../README.md"];
  const text = pages.map((page) => readFileSync(new URL(page, import.meta.url), "utf8")).join("\n");
  const files = [...text.matchAll(/```(jsx?|ts)\n(.*?)```/gs)].map(([, language, code], index) => {
    const name = `snippet${index}.${language}`;
    writeFileSync(join(folder, name), code);
    return name;
  });
  assert.ok(files.length >= 9);
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const options = ["--noEmit", "--allowJs", "--checkJs", "--strict", "--noImplicitAny", "false"];
  const where = ["--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"];
  const args = [...options, ...where, "--jsx", "react-jsx", "--types", "node"];
  assert.equal(complaint(tsc, [...args, ...files]), "");
  writeFileSync(join(folder, files[0]), `${readFileSync(join(folder, files[0]))}io.collections();`);
  assert.match(complaint(tsc, [...args, ...files]), /collections/);
});
