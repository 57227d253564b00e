/**
 * The script tag's entry: `<script src=".../io.js" data-url="wss://host/ws/"></script>` defines
 * `io` for the scripts after it. `data-url` may be left out. The page's cookie says who asks, so that
 * there are no tokens here to prove it by.
 */

import { Client } from "./client.js";
import { environment } from "./connection/environment.js";
import { misused } from "./errors.js";

const url = new URL(document.currentScript?.dataset.url ?? "/ws/", location.href);
url.hash = "";
const address = url.href.replace("http", "ws");
if (!address.startsWith("ws")) {
  misused(`"${url}" is no WebSocket address`);
}
/** @type {any} */ (globalThis).io = new Client(address, environment());
