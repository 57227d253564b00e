/**
 * The script tag's entry: `<script src=".../io.js" data-url="wss://host/ws/"></script>` defines
 * `io` for the scripts after it. `data-url` may be left out. The page's cookie says who asks, so that
 * there are no tokens here to prove it by.
 */

import { Client } from "./client.js";
import { environment } from "./connection/environment.js";
import { asWebSocket } from "./connection/url.js";

const { href } = new URL(document.currentScript?.dataset.url ?? "/ws/", location.href);
Object.assign(globalThis, { io: new Client(asWebSocket(href), environment()) });
