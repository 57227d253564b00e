/** What the pages say of the client, held against it. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { QueryClient, QueryObserver } from "@tanstack/query-core";
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

/** The lines of JavaScript in a chapter of docs/migrating.md. */
function moved(chapter) {
  const page = readFileSync(new URL("../../docs/migrating.md", import.meta.url), "utf8");
  const text = page.split(`\n## ${chapter}\n`)[1].split("\n## ")[0];
  return /```js\n(.*?)```/s.exec(text)?.[1] ?? "";
}

test("what django-binding's users wrote in the browser does the same", () => {
  const { io, socket } = start();
  const told = [];
  new Function("io", "render", moved("django-binding and django-node-websockets"))(io, (...args) =>
    told.push(args),
  );
  socket()
    .opens()
    .accepts("products", [{ id: 1 }]);
  socket().says("products", { action: "delete", payload: { id: 1 } });
  assert.deepEqual(told, [
    ["sync", [{ id: 1 }]],
    ["delete", { id: 1 }],
  ]);
});

test("a page that was told by a consumer renders the rows of a collection", () => {
  const { io, socket } = start();
  const told = [];
  new Function("io", "render", moved("Consumers written by hand"))(io, (rows) => told.push(rows));
  socket()
    .opens()
    .accepts("products", [{ id: 1 }]);
  assert.deepEqual(told.at(-1), [{ id: 1 }]);
});

test("a query of TanStack's that was polled is live", async () => {
  const { io, socket } = start();
  const client = new QueryClient();
  const lines = `${moved("Polling")}; return query;`;
  const query = new Function("io", "client", lines)(io, client);
  const observer = new QueryObserver(client, query);
  const seen = [];
  const leave = observer.subscribe(({ data }) => data && seen.push(data));
  socket()
    .opens()
    .accepts("products", [{ id: 1 }]);
  await io.collection("products").ready;
  await new Promise((resolve) => setTimeout(resolve));
  socket().says("products", { action: "create", payload: { id: 2 }, after: 1 });
  await observer.refetch(); // as a button would, or a window that gets the focus
  leave();
  client.clear();
  assert.deepEqual(seen[0], [{ id: 1 }]);
  assert.deepEqual(seen.at(-1), [{ id: 1 }, { id: 2 }]);
});
