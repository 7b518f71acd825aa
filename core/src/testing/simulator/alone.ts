// A device that is the only member left needs no stamps for what it changes. Others may come to it later all the same, so
// the ledger has to know: what has changed in its tables between two commits is entered as if it had been stamped.

import type { Ledger, Value, WriteStamp } from "./ledger.js";
import type { LibraryModel } from "./library-model.js";

/** The visible records, by model and identity. */
export type Tables = ReadonlyMap<string, ReadonlyMap<string, ReadonlyMap<string, Value>>>;

/** What the tables of a device held after a commit; null where it was not the only member left. */
interface Held {
  readonly origin: string;
  readonly hlc: number;
  readonly tables: Tables | null;
}

/** What the tables of a device held while it was the only member left: what has changed there since is new. */
export class TablesAlone {
  /** The last commit that nothing can take back, and those after it. */
  #held: readonly Held[] = [];

  /** As of the last commit; null if the device was not alone under this origin. */
  of(origin: string): Tables | null {
    const last = this.#held.at(-1);
    return last?.origin === origin ? last.tables : null;
  }

  note(held: Held): void {
    this.#held = [...this.#held, held];
  }

  /** The last commit can't be taken back any more. */
  keep(): void {
    this.#held = this.#held.slice(-1);
  }

  /** A loss of power has taken back what was committed after `hlc`: what was folded then will be folded again. */
  goBack(origin: string, hlc: number): void {
    this.#held = this.#held.filter((held) => held.origin === origin && held.hlc <= hlc);
  }

  forget(): void {
    this.#held = [];
  }
}

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
  /** Above everything that was stamped there before the device was alone. */
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
        // What is written together with it refers to it; what referred to a life before has been decided about.
        ledger.add({ kind: "birth", ...about, age: stamp.hlc - 1 });
        continue;
      }
      // A column that the version before did not have was empty.
      const changed = [...values].filter(([column, value]) => (former.get(column) ?? null) !== value);
      if (changed.length === 0) continue;
      if (model.owned) ledger.add({ kind: "edit", ...about, column: null });
      else for (const [column] of changed) ledger.add({ kind: "edit", ...about, column });
    }
  }
}
