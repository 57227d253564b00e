/** What people hold in their hands works behind a proxy too. */

/**
 * Have an object's getters and methods mean the object itself, whoever they are called through: the
 * proxies of Vue and Alpine are another `this`, which has none of its private fields.
 *
 * @param {object} object made by a class, in whose constructor this is called.
 */
export function bindMembers(object) {
  const members = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object));
  for (const member of Object.values(members)) {
    const kind = member.get ? "get" : "value";
    member[kind] = member[kind].bind(object);
  }
  Object.defineProperties(object, members);
}
