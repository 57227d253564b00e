/**
 * The script tag's entry: `<script src=".../io.js" data-url="wss://host/ws/"></script>` defines
 * `io` for the scripts after it. `data-url` may be left out.
 */

import { connect } from "./index.js";

Object.assign(globalThis, { io: connect(document.currentScript?.dataset.url) });
