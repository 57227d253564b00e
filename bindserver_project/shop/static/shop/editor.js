import { formatMoney } from "./format.js";
import { explain, post } from "./post.js";

const FIELDS = ["name", "sku", "category", "price", "stock"];

/**
 * The form to add and to edit. While it is open it follows the live row: fields that were not touched
 * take the new value, and beside those that were stands what somebody else made of them.
 */
export class Editor {
  #dialog;
  #form;
  #addUrl;
  #report;
  /** @type {import("./format.js").Product | null} */
  #row = null;
  #categories = new Map();

  constructor(/** @type {HTMLDialogElement} */ dialog, { addUrl, report }) {
    this.#dialog = dialog;
    this.#form = dialog.querySelector("form");
    this.#addUrl = addUrl;
    this.#report = report;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    for (const button of dialog.querySelectorAll("[data-close]")) {
      button.addEventListener("click", () => dialog.close());
    }
    for (const name of [...FIELDS, "active"]) {
      this.#input(name).setAttribute("aria-describedby", `error-${name}`);
    }
  }

  open(/** @type {import("./format.js").Product | null} */ row) {
    this.#row = row;
    this.#form.reset();
    this.#dialog.querySelector("h2").textContent = row ? "Edit product" : "Add a product";
    for (const name of FIELDS) this.#input(name).value = row?.[name] ?? (name === "stock" ? 0 : "");
    this.#showErrors({});
    for (const hint of this.#form.querySelectorAll("[data-hint-for]")) hint.textContent = "";
    this.#dialog.showModal();
    this.#input("name").select();
  }

  /** The row may have changed behind the form. */
  follow(/** @type {import("./format.js").Product} */ row) {
    if (!this.#dialog.open || this.#row?.id !== row.id) return;
    for (const name of FIELDS) {
      const input = this.#input(name);
      const touched = input.value !== String(this.#row[name]);
      if (!touched) input.value = row[name];
      const differs = touched && this.#row[name] !== row[name] && input.value !== String(row[name]);
      if (differs) this.#hint(name, `Meanwhile: ${this.#show(name, row[name])}`);
      if (input.value === String(row[name])) this.#hint(name, "");
    }
    this.#row = row;
  }

  /** The row left what is shown; saving still works while the product exists. */
  lose(/** @type {number} */ id) {
    if (!this.#dialog.open || this.#row?.id !== id) return;
    this.#showErrors({ __all__: ["Meanwhile this product has left the list you look at."] });
  }

  setCategories(/** @type {{id: number, name: string}[]} */ categories) {
    this.#categories = new Map(categories.map(({ id, name }) => [String(id), name]));
    const select = this.#input("category");
    const chosen = select.value;
    select.replaceChildren(new Option("Choose a category", ""));
    for (const { id, name } of categories) select.add(new Option(name, String(id)));
    select.value = chosen;
  }

  async #save() {
    const button = this.#form.querySelector("[type=submit]");
    const url = this.#row ? this.#addUrl.replace("new", String(this.#row.id)) : this.#addUrl;
    const data = new FormData(this.#form);
    button.disabled = true;
    const { status, body } = await post(url, data);
    button.disabled = false;
    if (status === 200) {
      this.#dialog.close();
      this.#report(`Saved ${data.get("name")}`);
    } else {
      this.#showErrors(body?.errors ?? { __all__: [explain(status)] });
      this.#form.querySelector("[aria-invalid=true]")?.focus();
    }
  }

  #showErrors(/** @type {Record<string, string[]>} */ errors) {
    for (const place of this.#form.querySelectorAll("[data-error-for]")) {
      const name = place.dataset.errorFor;
      place.textContent = (errors[name] ?? []).join(" ");
      if (name !== "__all__") this.#input(name).setAttribute("aria-invalid", String(name in errors));
    }
  }

  #hint(name, text) {
    this.#form.querySelector(`[data-hint-for="${name}"]`).textContent = text;
  }

  #show(name, value) {
    if (name === "category") return this.#categories.get(String(value)) ?? "another category";
    return name === "price" ? formatMoney(value) : String(value);
  }

  #input(name) {
    return this.#form.elements.namedItem(name);
  }
}
