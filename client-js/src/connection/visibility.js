/** The page's hints that the connection deserves a look. */

/**
 * Call `look` when the network is back, and when the page is seen again.
 *
 * @param {() => void} look
 * @param {any} [surroundings] a window, or something like it; nothing happens without its events.
 * @returns {() => void} ends it.
 */
export function watchPage(look, surroundings = globalThis) {
  const { document: page } = surroundings;
  const ending = new AbortController(); // has a `signal`, as the options of a listener may
  surroundings.addEventListener?.("online", look, ending);
  page?.addEventListener?.("visibilitychange", () => page.hidden || look(), ending);
  return () => ending.abort();
}
