const LANGUAGE = document.documentElement.lang;
const MONEY = new Intl.NumberFormat(LANGUAGE, { style: "currency", currency: "EUR" });
const COUNT = new Intl.NumberFormat(LANGUAGE);
const CLOCK = new Intl.DateTimeFormat(LANGUAGE, { timeStyle: "medium", hourCycle: "h23" });
const LOW_STOCK = 10;

export const formatMoney = (/** @type {string | number} */ price) => MONEY.format(Number(price));
export const formatCount = (/** @type {number} */ count) => COUNT.format(count);
export const formatClock = (/** @type {Date} */ time) => CLOCK.format(time);

/** @returns {["out" | "low" | "", string]} the level of a stock, and how to call it */
export function stockLevel(/** @type {number} */ stock) {
  if (stock <= 0) return ["out", "Sold out"];
  return stock < LOW_STOCK ? ["low", "Low"] : ["", ""];
}

/** What differs between two states of a product, in a few words. */
export function describeChange(/** @type {Product} */ before, /** @type {Product} */ after) {
  const parts = [];
  if (before.name !== after.name) parts.push(`was “${before.name}”`);
  if (before.price !== after.price) {
    parts.push(`${formatMoney(before.price)} → ${formatMoney(after.price)}`);
  }
  if (before.stock !== after.stock) parts.push(`stock ${before.stock} → ${after.stock}`);
  if (before.category_name !== after.category_name) {
    parts.push(`${before.category_name} → ${after.category_name}`);
  }
  if (before.sku !== after.sku) parts.push(`SKU ${before.sku} → ${after.sku}`);
  return parts.join(", ");
}

/**
 * @typedef {{id: number, name: string, sku: string, price: string, stock: number,
 *   category: number, category_name: string}} Product
 */
