/** What people hold in their hands works behind a proxy too. */

/**
 * Have an object's getters and methods mean the object itself, whoever they are called through: the
 * proxies of Vue and Alpine are another `this`, which has none of its private fields.
 *
 * @param {object} object made by a class, in whose constructor this is called.
 */
export function pin(object) {
  const members = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object));
  for (const [name, { get, value }] of Object.entries(members)) {
    if (name !== "constructor") {
      Object.defineProperty(object, name, {
        configurable: true,
        ...(get ? { get: get.bind(object) } : { writable: true, value: value.bind(object) }),
      });
    }
  }
}
