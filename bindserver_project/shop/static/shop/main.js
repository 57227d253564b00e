import { wireBusySwitch } from "./busy.js";
import { Editor } from "./editor.js";
import { Feed } from "./feed.js";
import { Filters } from "./filters.js";
import { describeChange, formatCount } from "./format.js";
import { LiveQuery } from "./live.js";
import { ProductTable } from "./table.js";

const STATES = {
  idle: "Starting…",
  connecting: "Connecting…",
  again: "Reconnecting…",
  live: "Live",
  stale: "Waiting for the database",
  closed: "Offline",
};
const SPEAK_MS = 1500;
const TOAST_MS = 2600;

const io = window.io;
const find = (/** @type {string} */ id) => document.getElementById(id);
const { addUrl, busyUrl } = document.body.dataset;

const table = new ProductTable(find("rows"), find("row"));
const feed = new Feed(find("feed"));
const editor = find("editor") && new Editor(find("editor"), { addUrl, report: showToast });
const filters = new Filters(find("filters"), watch);
const categories = new Map();
let isFirstSync = true;
let isStale = false;
let wasLive = false;
let speaking = 0;

const products = new LiveQuery(io, "products", (data) => {
  const { action, payload, after } = data;
  if (action === "sync") receiveAll(payload);
  else if (action === "create") receiveNew(payload, after);
  else if (action === "update") receiveChange(payload, after);
  else if (action === "delete") receiveLoss(payload.id);
  else if (action === "error" || action === "disconnect") showNotice(data);
  isStale = action === "stale";
  showConnection();
  showCount();
});

function receiveAll(rows) {
  table.sync(rows, { lit: !isFirstSync });
  isFirstSync = false;
  for (const row of rows) editor?.follow(row);
  find("products").ariaBusy = "false";
  find("skeleton").hidden = true;
  find("notice").hidden = true;
}

function receiveNew(row, after) {
  table.create(row, after);
  feed.add("create", row.name, "now in this list");
}

function receiveChange(row, after) {
  const before = table.get(row.id);
  table.update(row, after);
  editor?.follow(row);
  const detail = before && describeChange(before, row);
  if (detail) feed.add("update", row.name, detail);
}

function receiveLoss(/** @type {number} */ id) {
  const row = table.get(id);
  table.remove(id);
  editor?.lose(id);
  if (row) feed.add("delete", row.name, "no longer in this list");
}

function watch(params) {
  if (products.isFor(params)) return;
  isFirstSync = true;
  find("products").ariaBusy = "true";
  find("notice").hidden = true;
  document.querySelector("[data-snapshot]").search = new URLSearchParams(params).toString();
  products.setParams(params);
}

function showNotice({ action, code, payload }) {
  const notice = find("notice");
  const isError = action === "error";
  const why = isError ? (payload?.detail ?? payload?.code) : code;
  notice.textContent = isError ? `The server refused: ${why}` : `The server ended this list: ${why}`;
  notice.hidden = !why;
}

function showConnection() {
  const state = isStale && io.status === "live" ? "stale" : io.status;
  const pill = document.querySelector("[data-connection]");
  if (pill.dataset.connection === state) return;
  pill.dataset.connection = state;
  wasLive ||= state === "live";
  pill.firstElementChild.textContent = STATES[state === "connecting" && wasLive ? "again" : state];
}

function showCount() {
  if (isFirstSync) return;
  const text = `${formatCount(table.size)} ${table.size === 1 ? "product" : "products"}`;
  find("empty").hidden = table.size > 0;
  if (find("count").value === text) return;
  find("count").value = text;
  speaking ||= setTimeout(() => {
    speaking = 0;
    find("spoken").textContent = find("count").value;
  }, SPEAK_MS);
}

let toasting = 0;
function showToast(/** @type {string} */ text) {
  find("toast").textContent = text;
  find("toast").classList.add("shown");
  clearTimeout(toasting);
  toasting = setTimeout(() => find("toast").classList.remove("shown"), TOAST_MS);
}

new LiveQuery(io, "categories", ({ action, payload }) => {
  if (action === "sync") categories.clear();
  if (action === "sync") for (const row of payload) categories.set(row.id, row);
  else if (action === "create" || action === "update") categories.set(payload.id, payload);
  else if (action === "delete") categories.delete(payload.id);
  else return;
  const sorted = [...categories.values()].sort((a, b) => a.name.localeCompare(b.name));
  filters.setCategories(sorted);
  editor?.setCategories(sorted);
}).setParams({});

io.on("status", showConnection);
showConnection();
watch(filters.params);

find("clear").addEventListener("click", () => filters.clear());
find("add")?.addEventListener("click", () => editor.open(null));
find("rows").addEventListener("click", ({ target }) => {
  const id = target.closest("[data-edit]") && Number(target.closest("tr").dataset.id);
  if (id && table.get(id)) editor.open(table.get(id));
});
find("copy")?.addEventListener("click", async () => {
  await navigator.clipboard.writeText(find("command").textContent);
  showToast("Copied");
});
if (find("busy")) {
  wireBusySwitch(find("busy"), {
    url: busyUrl,
    visibleIds: () => table.visibleIds,
    report: showToast,
  });
}
