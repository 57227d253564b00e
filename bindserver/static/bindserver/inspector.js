/**
 * The inspector's page. It follows tables of the server's own by `io`, as any page follows bindings.
 * What it shows may come from strangers (params, users' names, keys): it is put in as text, never as
 * HTML.
 */

const EVENT = document.body.dataset.event;
const { io } = globalThis;

const $ = (id) => document.getElementById(id);

/** Return an element with attributes and children; texts among these stay texts. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(attribute, value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

// Numbers, as people read them.

const whole = new Intl.NumberFormat("en");
const count = (value) => (value === undefined || value === null ? "" : whole.format(value));

function size(bytes) {
  if (bytes === undefined || bytes === null) return "";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  let left = bytes;
  for (; left >= 1024 && at < units.length - 1; at++) left /= 1024;
  return `${at && left < 100 ? left.toFixed(1) : Math.round(left)} ${units[at]}`;
}

const ms = (value) => (value ? `${whole.format(value)} ms` : "");
const seconds = (value) => (value ? `${whole.format(value)} s` : "");

function ago(at) {
  if (!at) return "";
  const passed = Math.max(0, Math.round(Date.now() / 1000 - at));
  if (passed < 120) return `${passed} s`;
  return passed < 7200 ? `${Math.round(passed / 60)} min` : `${Math.round(passed / 3600)} h`;
}

const share = (value, limit, say) => (limit ? `${say(value)} of ${say(limit)}` : say(value));
const counted = (found) =>
  Object.entries(found)
    .map(([what, times]) => `${what}: ${count(times)}`)
    .join(", ");

// Tables: what stands in each column.

const number = (label, say) => ({ label, say, kind: "number" });
const text = (label, say, look) => ({ label, say, look });
const state = (row) => ({ ready: "good", "set aside": "bad" })[row.state] ?? "warm";

const COLUMNS = {
  processes: [
    text("pid", (row) => (row.here ? `${row.id} (this page)` : row.id)),
    text("version", (row) => row.version ?? ""),
    number("connections", (row) => count(row.connections)),
    number("slow", (row) => count(row.lazy)),
    number("waiting for clients", (row) => size(row.outbox)),
    number("subscriptions", (row) => count(row.subscriptions)),
    number("views", (row) => count(row.views)),
    number("rows", (row) => count(row.rows)),
    number("in memory", (row) => size(row.bytes)),
    number("frames sent", (row) => count(row.frames)),
    number("sent", (row) => size(row.sent)),
    number("refused", (row) => count(row.refused)),
  ],
  databases: [
    text("database", (row) => row.id),
    text(
      "state",
      (row) => row.troubles.join("; ") || (row.up ? "followed" : "out of reach"),
      (row) => (row.up && !row.troubles.length ? "good" : "bad"),
    ),
    text("learns by", (row) => ({ log: "change log", signals: "signals" })[row.capture] ?? "not known now"),
    number("lag", (row) => seconds(row.lag) || "none"),
    number("turns", (row) => count(row.turns)),
    number("a turn", (row) => ms(row.turn_ms)),
    number("loads", (row) => `${count(row.loads)} run, ${count(row.loads_waiting)} wait`),
    number("views", (row) => share(row.views, row.views_limit, count)),
    number("in memory", (row) => share(row.bytes, row.bytes_limit, size)),
    number("refused", (row) => count(row.refused)),
    number("log entries", (row) => count(row.log_entries)),
    number("log", (row) => size(row.log_bytes)),
    number("oldest entry", (row) => ago(row.log_oldest)),
  ],
  views: [
    text("view", nameOfView),
    text("params", (row) => (row.params === "{}" ? "" : row.params), () => "params"),
    text("state", (row) => row.state, state),
    number("lag", (row) => seconds(row.lag)),
    number("followers", (row) => (row.waiting ? `${count(row.followers)} + ${count(row.waiting)}` : count(row.followers))),
    number("rows", (row) => count(row.rows)),
    number("in memory", (row) => size(row.bytes)),
    number("read whole", (row) => ms(row.whole_ms)),
    number("a change", (row) => ms(row.change_ms)),
    number("read together", (row) => count(row.together)),
  ],
  bindings: [
    text("event", (row) => (row.published ? row.id : "(not published)")),
    text("binding", (row) => row.binding),
    text("model", (row) => row.model),
    text("database", (row) => row.database),
    text("params", (row) => row.params.join(", ")),
    number("views", (row) => count(row.views)),
    number("subscriptions", (row) => count(row.subscriptions)),
    number("rows", (row) => count(row.rows)),
    number("in memory", (row) => size(row.bytes)),
    number("deltas", (row) => count(row.deltas)),
    text("behind", (row) => counted(row.lagging), () => "warm"),
    text("failures", (row) => counted(row.failures), () => "bad"),
  ],
  connections: [
    text("connection", (row) => row.id),
    text("user", (row) => row.user),
    text("address", (row) => row.address),
    text("by", (row) => row.transport),
    text("state", (row) => (row.lazy ? "slow: skips states" : "keeps up"), (row) => (row.lazy ? "bad" : "good")),
    number("waits for it", (row) => size(row.outbox)),
    number("subscriptions", (row) => count(row.subscriptions)),
    number("there for", (row) => ago(row.since)),
    number("frames", (row) => count(row.frames)),
    number("sent", (row) => size(row.sent)),
  ],
};

const NOTHING = {
  processes: "nothing is known yet",
  databases: "nobody has asked for a binding yet, so no database is followed",
  views: "no view",
  bindings: "no binding",
  connections: "no connection",
};

function nameOfView(row) {
  const button = make("button", { type: "button", class: "name" }, row.name);
  button.addEventListener("click", () => open(row));
  return button;
}

/** One table of the page: a line for each row, kept by key so that focus stays where it is. */
class Table {
  #columns;
  #body = make("tbody");
  #lines = new Map();
  #empty;

  constructor(name) {
    this.#columns = COLUMNS[name];
    const heads = this.#columns.map(({ label, kind }) => make("th", { scope: "col", class: kind ?? null }, label));
    this.#empty = make("tr", {}, make("td", { colspan: heads.length, class: "empty" }, NOTHING[name]));
    $(name).replaceChildren(make("thead", {}, make("tr", {}, ...heads)), this.#body);
  }

  show(rows) {
    const seen = new Set();
    rows.forEach((row, at) => {
      seen.add(row.id);
      const line = this.#line(row);
      if (this.#body.children[at] !== line) this.#body.insertBefore(line, this.#body.children[at] ?? null);
    });
    for (const [id, { line }] of this.#lines) {
      if (!seen.has(id)) {
        line.remove();
        this.#lines.delete(id);
      }
    }
    if (rows.length) this.#empty.remove();
    else this.#body.append(this.#empty);
  }

  #line(row) {
    const known = this.#lines.get(row.id);
    const line = known?.line ?? make("tr", {}, ...this.#columns.map(() => make("td")));
    if (known?.row !== row) {
      for (const [at, { say, look, kind }] of this.#columns.entries()) {
        fill(line.children[at], say(row), look?.(row) ?? kind);
      }
      this.#lines.set(row.id, { line, row });
    }
    return line;
  }
}

function fill(cell, said, look) {
  if (said instanceof Element) {
    if (!cell.contains(document.activeElement) || cell.textContent !== said.textContent) cell.replaceChildren(said);
  } else if (cell.textContent !== String(said)) {
    cell.textContent = said;
  }
  cell.className = look ?? "";
}

// What is followed.

const followed = new Map();

/** Follow a table, in place of what was followed of it before. */
function follow(name, params = {}) {
  followed.get(name)?.close();
  const collection = io.collection(EVENT, { table: name, ...params });
  followed.set(name, collection);
  collection.subscribe(() => {
    if (collection.error) complain(collection.error);
    if (collection.status === "live") {
      tables[name].show(collection.rows);
      if (name === "processes") explainProcesses(collection.rows);
    }
  });
}

function complain(error) {
  $("problem").textContent = `${error.code}: ${error.detail}`;
  $("problem").hidden = error.passing;
}

function explainProcesses(rows) {
  const here = rows.find((row) => row.here);
  if (!here) return;
  const rest = here.shares
    ? "The sums of others are what they wrote for /metrics in the last seconds."
    : "Others, if the server has several workers, are not known here: METRICS_FOLDER and METRICS_TOKEN let them share their sums.";
  $("shown").textContent =
    `Everything below is of process ${here.id}, which this page's connection has reached. ${rest}`;
}

/** Call a function when nothing was typed for a moment. */
function later(field, act) {
  let timer = 0;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(act, 250);
  });
}

// One view, and questions about it.

let viewed = null;
let asked = null;
let times = 0;

function open(row) {
  viewed = row;
  stopAsking();
  $("detail-title").textContent = `View ${row.name}`;
  const facts = { Binding: row.binding, Params: row.params, Database: row.database, Number: row.id };
  $("detail-facts").replaceChildren(
    ...Object.entries(facts).flatMap(([term, said]) => [make("dt", {}, term), make("dd", {}, said)]),
  );
  $("detail").hidden = false;
  $("detail-title").focus();
}

function stopAsking() {
  asked?.close();
  asked = null;
  $("answer").replaceChildren();
}

/** Ask about the view that is shown, once; the answer is shown when it is here. */
function ask(params, show) {
  stopAsking();
  $("answer").replaceChildren(make("p", {}, "asking …"));
  const question = io.collection(EVENT, { view: viewed.id, time: ++times, ...params });
  asked = question;
  question.subscribe(() => {
    if (asked !== question) return;
    if (question.error) $("answer").replaceChildren(make("p", { class: "bad" }, question.error.detail));
    else if (question.status === "live" && question.rows.length) $("answer").replaceChildren(...show(question.rows));
  });
}

const named = (rows, id) => rows.find((row) => row.id === id);

function showWhy(rows) {
  const verdict = named(rows, "verdict");
  const conditions = rows.filter((row) => "holds" in row);
  const note = named(rows, "note");
  return [
    make("p", { class: `verdict ${verdict.in ? "good" : "bad"}` }, verdict.text),
    conditions.length ? make("ol", { class: "conditions" }, ...conditions.map(showCondition)) : "",
    note ? make("p", { class: "note" }, note.text) : "",
    make("p", {}, `Now ${named(rows, "view").text}.`),
    make("p", {}, `Last written: ${named(rows, "written").text}.`),
  ].filter(Boolean);
}

function showCondition(row) {
  const outcome = { true: "holds", false: "fails", null: "cannot be asked of one row" }[row.holds];
  const look = row.holds === null ? null : outcome;
  const more = [
    row.found.length ? `it has ${row.found.join(", ")}` : "",
    row.remark,
    row.hidden ? `values are hidden: you may not view ${row.hidden}` : "",
  ].filter(Boolean);
  return make(
    "li",
    { class: look },
    make("strong", { class: row.holds === false ? "bad" : row.holds ? "good" : null }, `${outcome}: `),
    row.text,
    more.length ? ` (${more.join("; ")})` : "",
    make("span", { class: "sql" }, row.sql),
  );
}

function showExplained(rows) {
  const ways = rows.filter((row) => "table" in row);
  const load = named(rows, "load");
  const most = Math.max(load.ms, ...ways.map((row) => row.ms ?? 0), 0.1);
  const said = { Read: "read", Shared: "shared", "Ordered by": "ordered", Time: "time" };
  return [
    make(
      "dl",
      {},
      ...Object.entries(said).flatMap(([term, id]) => [make("dt", {}, term), make("dd", {}, named(rows, id).text)]),
    ),
    make("p", {}, "What a changed row of each table costs, beside reading the view whole:"),
    make("ul", { class: "ways" }, ...ways.map((row) => way(row, row.table, row.text, most)), way(load, "all of it", "read whole", most)),
    ...rows.filter((row) => row.id.startsWith("advice")).map((row) => make("p", { class: "warm" }, `Cheaper: ${row.text}`)),
  ];
}

function way(row, name, said, most) {
  const cost = row.ms === null ? "no row to try" : `${row.ms} ms, ${count(row.statements)} statements, ${count(row.rows)} rows`;
  const bar = make("meter", { class: "bar", max: most, value: row.ms ?? 0, "aria-label": `time of ${name}` }, cost);
  return make("li", {}, make("code", {}, name), make("span", {}, said), make("span", {}, cost), bar);
}

// The page.

$("missing").remove();
const tables = Object.fromEntries(Object.keys(COLUMNS).map((name) => [name, new Table(name)]));

const searches = {
  views: () => follow("views", { search: $("views-search").value, by: $("views-by").value }),
  bindings: () => follow("bindings", { search: $("bindings-search").value }),
  connections: () => follow("connections", { search: $("connections-search").value }),
};
for (const [name, search] of Object.entries(searches)) {
  later($(`${name}-search`), search);
  $(`${name}-form`).addEventListener("submit", (event) => event.preventDefault());
  search();
}
$("views-by").addEventListener("change", searches.views);
follow("processes");
follow("databases");

$("why-form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask({ table: "why", row: $("why-row").value }, showWhy);
});
$("explain").addEventListener("click", () => ask({ table: "explain" }, showExplained));
$("close").addEventListener("click", () => {
  stopAsking();
  $("detail").hidden = true;
});

const words = { live: "live", connecting: "connecting", closed: "closed: the server has let go of this page" };
const tell = () => {
  $("status").textContent = words[io.status] ?? io.status;
  $("status").className = io.status === "live" ? "good" : "warm";
};
io.on("status", tell);
io.on("error", ({ payload }) => payload && complain({ passing: io.status !== "closed", ...payload }));
tell();
