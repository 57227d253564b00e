const TYPING_MS = 160;

/** Search and category: kept in the address of the page, and told as params. */
export class Filters {
  #form;
  #changed;
  #category;

  constructor(/** @type {HTMLFormElement} */ form, /** @type {(params: object) => void} */ changed) {
    this.#form = form;
    this.#changed = changed;
    const given = new URLSearchParams(location.search);
    form.elements.q.value = given.get("q") ?? "";
    this.#category = given.get("category") ?? "";
    let timer = 0;
    form.addEventListener("input", ({ target }) => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#tell(), target.name === "q" ? TYPING_MS : 0);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(timer);
      this.#tell();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.target.matches("input, select, dialog *")) return;
      event.preventDefault();
      form.elements.q.select();
    });
  }

  get params() {
    const params = {};
    const q = this.#form.elements.q.value.trim();
    if (/^\d+$/.test(this.#category)) params.category = Number(this.#category);
    if (q) params.q = q;
    return params;
  }

  clear() {
    this.#form.elements.q.value = "";
    this.#form.elements.category.value = "";
    this.#tell();
    this.#form.elements.q.focus();
  }

  setCategories(/** @type {{id: number, name: string}[]} */ categories) {
    const select = this.#form.elements.category;
    select.replaceChildren(new Option("All categories", ""));
    for (const { id, name } of categories) select.add(new Option(name, String(id)));
    select.value = this.#category;
    if (select.selectedIndex < 0) {
      select.value = "";
      this.#tell();
    }
  }

  #tell() {
    this.#category = this.#form.elements.category.value;
    const query = new URLSearchParams(this.params).toString();
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
    this.#changed(this.params);
  }
}
