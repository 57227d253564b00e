import { explain, post } from "./post.js";

const BEAT_MS = 400;
const REST_MS = 3000;

/** The switch "busy shop": while it is on, the server changes a few products at each beat. */
export function wireBusySwitch(/** @type {HTMLElement} */ button, { url, visibleIds, report }) {
  let timer = 0;
  let on = false;

  const turn = (/** @type {boolean} */ value) => {
    on = value;
    button.setAttribute("aria-checked", String(on));
    clearTimeout(timer);
    if (on) beat();
  };
  const beat = async () => {
    const seen = visibleIds().slice(0, 60);
    const { status } = await post(url, new URLSearchParams(seen.map((id) => ["seen", String(id)])));
    if (!on) return;
    if (status === 403) {
      report(explain(status));
      return turn(false);
    }
    clearTimeout(timer);
    timer = setTimeout(beat, status === 200 ? BEAT_MS : REST_MS);
  };

  button.addEventListener("click", () => turn(!on));
  addEventListener("pagehide", () => turn(false));
}
