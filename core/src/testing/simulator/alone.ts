// A device that is the only member left needs no stamps for what it changes. Others may come to it later all the same, so
// the ledger has to know: what has changed in its tables between two commits is entered as if it had been stamped.

import type { Ledger, Value, WriteStamp } from "./ledger.js";
import type { LibraryModel } from "./library-model.js";

/** The visible records, by model and identity. */
export type Tables = ReadonlyMap<string, ReadonlyMap<string, ReadonlyMap<string, Value>>>;

export function noteDifferences({
  ledger,
  models,
  before,
  now,
  stamp,
}: {
  readonly ledger: Ledger;
  readonly models: readonly LibraryModel[];
  readonly before: Tables;
  readonly now: Tables;
  /** Above everything that was stamped there before. */
  readonly stamp: WriteStamp;
}): void {
  for (const model of models) {
    const earlier = before.get(model.name) ?? new Map<string, ReadonlyMap<string, Value>>();
    const later = now.get(model.name)!;
    for (const record of earlier.keys()) {
      if (!later.has(record)) ledger.add({ kind: "death", model: model.name, record, stamp });
    }
    for (const [record, values] of later) {
      const former = earlier.get(record);
      const about = { model: model.name, record, stamp, values };
      if (former === undefined) {
        // It has no stamp at all, so every reference to it holds.
        ledger.add({ kind: "birth", ...about, age: 0 });
        continue;
      }
      const changed = [...values].filter(([column, value]) => former.get(column) !== value);
      if (changed.length === 0) continue;
      if (model.owned) ledger.add({ kind: "edit", ...about, column: null });
      else for (const [column] of changed) ledger.add({ kind: "edit", ...about, column });
    }
  }
}
