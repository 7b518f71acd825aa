import type { SyncModel } from "../registry/model.js";

/** Things of one model each, by their models, in the order in which they come. */
export function byModel<T extends { readonly model: SyncModel }>(things: Iterable<T>): Map<SyncModel, T[]> {
  const groups = new Map<SyncModel, T[]>();
  for (const thing of things) {
    const group = groups.get(thing.model);
    if (group === undefined) groups.set(thing.model, [thing]);
    else group.push(thing);
  }
  return groups;
}
