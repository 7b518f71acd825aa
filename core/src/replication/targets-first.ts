/**
 * Puts what is referred to before what refers to it; what refers to each other in a circle comes in some order. With
 * deferred foreign keys SQLite takes rows in any order, but as long as one refers to a row that is still to come, it
 * searches the referring tables for every row that is inserted, and without an index on the reference it reads all of them
 * each time (`OP_FkIfZero`: https://sqlite.org/foreignkeys.html#fk_deferred). A tree in random order took time in the square
 * of its size. `targetsOf` names items alone.
 */
export function targetsFirst<Item>(
  items: readonly Item[],
  targetsOf: (item: Item) => readonly Item[],
): readonly Item[] {
  const ordered: Item[] = [];
  const seen = new Set<Item>();
  // No recursion: a chain may be as long as a page.
  const path: { readonly item: Item; readonly targets: readonly Item[]; next: number }[] = [];
  const enter = (item: Item): void => {
    if (seen.has(item)) return;
    seen.add(item);
    const targets = targetsOf(item);
    if (targets.length === 0) ordered.push(item);
    else path.push({ item, targets, next: 0 });
  };
  for (const item of items) {
    enter(item);
    for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
      if (last.next < last.targets.length) {
        last.next += 1;
        enter(last.targets[last.next - 1]!);
      } else {
        ordered.push(last.item);
        path.pop();
      }
    }
  }
  return ordered;
}
