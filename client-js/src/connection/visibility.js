/** The page's hints that the connection deserves a look. */

/**
 * Call `look` when the network is back, and when the page is seen again.
 *
 * @param {() => void} look
 * @param {any} [surroundings] a window, or something like it; nothing happens without its events.
 * @returns {() => void} ends it.
 */
export function watchPage(look, surroundings = globalThis) {
  const page = surroundings.document;
  const seen = () => page.visibilityState === "visible" && look();
  const each = (/** @type {"addEventListener" | "removeEventListener"} */ does) => {
    surroundings[does]?.("online", look);
    page?.[does]?.("visibilitychange", seen);
  };
  each("addEventListener");
  return () => each("removeEventListener");
}
