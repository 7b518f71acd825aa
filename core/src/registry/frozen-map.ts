/**
 * A map that can't be changed: what `Object.freeze` does for objects and arrays, and does not do for a `Map`, whose
 * entries live in an internal slot.
 */
export function frozenMap<Key, Value>(entries: Iterable<readonly [Key, Value]>): ReadonlyMap<Key, Value> {
  const map = new Map(entries);
  const refuse = () => {
    throw new TypeError("This map is frozen");
  };
  return Object.freeze(Object.assign(map, { set: refuse, delete: refuse, clear: refuse }));
}
