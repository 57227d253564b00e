/**
 * Post a form to the shop.
 * @returns {Promise<{status: number, body: any}>} status 0 when the server is out of reach
 */
export async function post(/** @type {string} */ url, /** @type {FormData | URLSearchParams} */ data) {
  const token = document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
  try {
    const response = await fetch(url, {
      method: "POST",
      body: data,
      headers: { "X-CSRFToken": token, Accept: "application/json" },
    });
    const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
    return { status: response.status, body: isJson ? await response.json() : null };
  } catch {
    return { status: 0, body: null };
  }
}

/** Why a post failed, for people. */
export function explain(/** @type {number} */ status) {
  if (status === 0) return "The shop is out of reach. Try again in a moment.";
  if (status === 403) return "You may not do that, or this page is too old: load it again.";
  if (status === 404) return "This product is gone.";
  return "That did not work. Try again in a moment.";
}
