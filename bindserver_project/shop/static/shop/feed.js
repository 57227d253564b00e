import { formatClock } from "./format.js";

const LENGTH = 6;

/** The newest changes, whether their rows are on the screen or not. */
export class Feed {
  #list;
  #changes = [];
  #drawing = 0;

  constructor(/** @type {HTMLElement} */ list) {
    this.#list = list;
  }

  add(/** @type {"create" | "update" | "delete"} */ action, /** @type {string} */ name, detail) {
    this.#changes.unshift({ action, name, detail, time: new Date() });
    this.#changes.length = Math.min(this.#changes.length, LENGTH);
    this.#drawing ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#drawing = 0;
    this.#list.replaceChildren(...this.#changes.map(buildEntry));
  }
}

function buildEntry({ action, name, detail, time }) {
  const entry = document.createElement("li");
  entry.dataset.action = action;
  const title = document.createElement("b");
  title.textContent = title.title = name;
  const clock = document.createElement("time");
  clock.dateTime = time.toISOString();
  clock.textContent = formatClock(time);
  const text = document.createElement("span");
  text.textContent = detail;
  entry.append(title, clock, text);
  return entry;
}
