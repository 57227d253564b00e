/** The shop's products, live, in React. */

import { connect } from "bindserver";
import { useCollection } from "bindserver/react";
import { memo, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

const io = connect("/ws/");

/** Is rendered anew only when its row has changed: all others are the same objects as before. */
const Product = memo(function Product({ row }) {
  return (
    <li>
      {row.name} <span>{row.price}</span>
    </li>
  );
});

function Shop() {
  const [category, setCategory] = useState("");
  const categories = useCollection(io, "categories");
  const products = useCollection(io, "products", category ? { category: Number(category) } : {});
  return (
    <>
      <h1>Products</h1>
      <p>
        <label>
          Category{" "}
          <select id="category" value={category} onChange={(e) => setCategory(e.target.value)}>
            <option value="">all</option>
            {categories.rows.map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </label>{" "}
        <output id="status">{products.status}</output>{" "}
        <output id="error">{products.error?.detail}</output>
      </p>
      <ol id="products">
        {products.rows.map((row) => (
          <Product key={row.id} row={row} />
        ))}
      </ol>
    </>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Shop />
  </StrictMode>,
);
