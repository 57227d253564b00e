/** What the pages say of the client, held against it. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { start } from "./surroundings.js";

const GUIDE = readFileSync(new URL("../../docs/javascript.md", import.meta.url), "utf8");
/** The names in the first column of the table that follows a text. */
function names(text) {
  const table = GUIDE.slice(GUIDE.indexOf(text)).split("\n\n")[0];
  const cells = table
    .split("\n")
    .slice(2)
    .map((line) => line.split(" | ")[0]);
  return cells.flatMap((cell) => [...cell.matchAll(/`"?(\w+)/g)].map(([, name]) => name)).sort();
}

/** The names that an object has for its users. */
const members = (object) =>
  [...Object.keys(object), ...Object.getOwnPropertyNames(Object.getPrototypeOf(object))]
    .filter((name) => name !== "constructor" && !name.startsWith("_"))
    .sort();

test("the page's first lines do what they say", () => {
  const { io, socket } = start();
  const tables = [];
  const lines = /<script>\n(.*?)<\/script>/s.exec(GUIDE)?.[1] ?? "";
  new Function("io", "console", lines)(io, { table: (rows) => tables.push(rows) });
  socket()
    .opens()
    .accepts("products", [{ id: 1 }]);
  assert.deepEqual(tables, [[{ id: 1 }]]);
});

test("every member of a collection and of io is in the guide, and no other", () => {
  const { io } = start();
  assert.deepEqual(names("| member | what"), members(io.collection("products")));
  assert.deepEqual(names("| member of `io`"), members(io));
});

test("every status and option is in the guide", () => {
  assert.deepEqual(names("| `status` | when"), ["closed", "connecting", "live", "stale"]);
  const source = (name) => readFileSync(new URL(`../src/${name}`, import.meta.url), "utf8");
  const options = source("connection/environment.js")
    .split("typedef {object} Options")[1]
    .split("*/")[0];
  const told = [...options.matchAll(/\[(\w+)\]/g)].map(([, name]) => name);
  assert.deepEqual(names("| option | default"), told.sort());
  const properties = source("client.js")
    .split("typedef {object} CollectionOptions")[1]
    .split("*/")[0];
  const known = [...properties.matchAll(/\[(\w+)\]/g)].map(([, name]) => name);
  assert.deepEqual(names("| option of `io.collection`"), known.sort());
});
