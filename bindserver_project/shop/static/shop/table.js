import { formatMoney, stockLevel } from "./format.js";

const GLOW_MS = 1800;
const LEAVE_MS = 400;
const MOVES_AT_ONCE = 12;
const REDUCED = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * The rows on the page, in the order that the server says. Only rows on the screen are animated, so
 * a frame that changes thousands of rows costs what their text costs.
 */
export class ProductTable {
  #body;
  #template;
  /** @type {Map<number, {row: import("./format.js").Product, element: HTMLElement, timer: number}>} */
  #entries = new Map();
  /** @type {Map<Element, number>} */
  #onScreen = new Map();
  #watcher;
  #moves = 0;

  constructor(/** @type {HTMLElement} */ body, /** @type {HTMLTemplateElement} */ template) {
    this.#body = body;
    this.#template = template;
    this.#watcher = new IntersectionObserver((sightings) => {
      for (const { target, isIntersecting } of sightings) {
        if (isIntersecting) this.#onScreen.set(target, Number(target.dataset.id));
        else this.#onScreen.delete(target);
      }
    });
  }

  get size() {
    return this.#entries.size;
  }

  get visibleIds() {
    return [...this.#onScreen.values()];
  }

  get(/** @type {number} */ id) {
    return this.#entries.get(id)?.row;
  }

  /** Hold exactly these rows. With `lit`, those that are new or different light up. */
  sync(rows, { lit }) {
    const old = this.#entries;
    this.#entries = new Map();
    const elements = rows.map((row) => {
      const known = old.get(row.id);
      old.delete(row.id);
      const entry = known ?? this.#build(row);
      this.#entries.set(row.id, entry);
      const changed = known ? this.#fill(entry, row) : true;
      if (lit && changed) this.#light(entry, known ? "update" : "create");
      if (!lit && known) this.#dim(entry);
      return entry.element;
    });
    for (const entry of old.values()) this.#forget(entry);
    this.#body.replaceChildren(...elements);
  }

  create(row, after) {
    if (this.#entries.has(row.id)) return this.update(row, after);
    const entry = this.#build(row);
    this.#entries.set(row.id, entry);
    this.#place(entry.element, after);
    this.#light(entry, "create");
  }

  update(row, after) {
    const entry = this.#entries.get(row.id);
    if (!entry) return this.create(row, after ?? null);
    const changed = this.#fill(entry, row);
    if (after !== undefined) this.#move(entry.element, after);
    if (changed) this.#light(entry, "update");
  }

  remove(/** @type {number} */ id) {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    const { element } = entry;
    const seen = this.#isSeen(element);
    this.#forget(entry);
    if (!seen || REDUCED.matches) return element.remove();
    element.classList.add("leaving");
    element.inert = true;
    setTimeout(() => element.remove(), LEAVE_MS);
  }

  #build(row) {
    const element = this.#template.content.firstElementChild.cloneNode(true);
    element.dataset.id = row.id;
    const fields = {};
    for (const field of element.querySelectorAll("[data-field]")) fields[field.dataset.field] = field;
    const entry = { row: {}, element, fields, edit: element.querySelector("[data-edit]"), timer: 0 };
    this.#fill(entry, row);
    this.#watcher.observe(element);
    return entry;
  }

  /** Write what differs; tells whether anything did. */
  #fill(entry, row) {
    const { row: before, fields } = entry;
    entry.row = row;
    let changed = false;
    for (const name of ["name", "sku", "category_name", "price", "stock"]) {
      if (before[name] === row[name]) continue;
      changed = true;
      fields[name].textContent = name === "price" ? formatMoney(row.price) : String(row[name]);
    }
    if (before.name !== row.name) {
      fields.name.title = row.name;
      entry.edit?.setAttribute("aria-label", `Edit ${row.name}`);
    }
    if (before.stock !== row.stock) {
      [fields.level.dataset.level, fields.level.textContent] = stockLevel(row.stock);
    }
    if (before.price !== undefined && before.price !== row.price) {
      fields.price.dataset.trend = Number(row.price) > Number(before.price) ? "up" : "down";
    }
    return changed;
  }

  #place(element, after) {
    const before = this.#entries.get(after)?.element;
    if (before) before.after(element);
    else if (after === null) this.#body.prepend(element);
    else this.#body.append(element);
  }

  #move(element, after) {
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    const glide = this.#isSeen(element) && !REDUCED.matches && this.#moves < MOVES_AT_ONCE;
    const from = glide ? element.getBoundingClientRect().top : 0;
    this.#place(element, after);
    focused?.focus({ preventScroll: true });
    if (!glide) return;
    if (this.#moves++ === 0) setTimeout(() => (this.#moves = 0), 100);
    const distance = from - element.getBoundingClientRect().top;
    element.animate(
      [{ transform: `translateY(${distance}px)`, zIndex: 1 }, { transform: "none", zIndex: 1 }],
      { duration: 350, easing: "ease-in-out" },
    );
  }

  #light(entry, how) {
    const { dataset } = entry.element;
    if (document.hidden || (how === "update" && !this.#isSeen(entry.element))) return;
    dataset.lit = how;
    dataset.beat = dataset.beat === "0" ? "1" : "0";
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.#dim(entry), GLOW_MS);
  }

  #dim({ element, fields, timer }) {
    clearTimeout(timer);
    delete element.dataset.lit;
    delete element.dataset.beat;
    delete fields.price.dataset.trend;
  }

  #forget({ element, timer }) {
    clearTimeout(timer);
    this.#watcher.unobserve(element);
    this.#onScreen.delete(element);
  }

  #isSeen(element) {
    return this.#onScreen.has(element) && !document.hidden;
  }
}
