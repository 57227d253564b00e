/** The shop's products, live, by the module that the server has. */

import { connect } from "/static/bindserver/bindserver.mjs";

const find = (id) => document.getElementById(id);
const io = connect("/ws/");
const categories = io.collection("categories");
const elements = new WeakMap();
let products;

/** Make an element for each row once: a row that did not change is the same object. */
function elementOf(row) {
  if (!elements.has(row)) {
    const [element, price] = [document.createElement("li"), document.createElement("span")];
    price.textContent = row.price;
    element.append(row.name, price);
    elements.set(row, element);
  }
  return elements.get(row);
}

function show() {
  find("products").replaceChildren(...products.rows.map(elementOf));
  find("status").textContent = products.status;
  find("error").textContent = products.error?.detail ?? "";
}

function watch(category) {
  products?.close();
  products = io.collection("products", category ? { category: Number(category) } : {});
  products.subscribe(show);
  show();
}

categories.subscribe(() => {
  const chosen = find("category").value;
  const options = categories.rows.map(({ id, name }) => new Option(name, id));
  find("category").replaceChildren(new Option("all", ""), ...options);
  find("category").value = chosen;
});
find("category").addEventListener("change", () => watch(find("category").value));
watch("");
