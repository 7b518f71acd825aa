import type { SyncColumn, SyncModel, SyncRegistry } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { isEnforced } from "../storage/enforced.js";
import { anyLate, forgetLate, noteAbsent, noteTentative, takeLate } from "../storage/late.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { presentRows, rowsReferring } from "../storage/present-rows.js";
import type { RecordReader } from "../storage/record-reader.js";
import { loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import { columnStamp, editedLocally, lifeOf, type RecordState, referenceHolds } from "./record-state.js";
import { mostStable } from "./stable-point.js";
import { bornAnew } from "./stamp-anew.js";
import { stampGroup } from "./stamp-group.js";

/**
 * References that the application has written, and the fold has stamped, before what they refer to was born: in another
 * page of the same transaction, in a later one where SQLite does not watch the reference, or on another device. They are
 * older than their target's life, so nobody else would ever let them hold. When the target is there they are stamped
 * anew: this device's row says that they refer to it.
 */
export interface LateReferencesDeps {
  readonly registry: SyncRegistry;
  readonly reader: RecordReader;
  readonly members: Members;
}

export class LateReferences {
  readonly #deps: LateReferencesDeps;
  /** References that SQLite does not watch, by model. */
  readonly #loose = new Map<SyncModel, readonly SyncColumn[]>();

  constructor(deps: LateReferencesDeps) {
    this.#deps = deps;
  }

  /** Whether changes of this model may be late, or what something late refers to. */
  mayConcern(db: Sqlite, model: SyncModel): boolean {
    return anyLate(db) || this.#looseOf(db, model).length > 0;
  }

  /**
   * Looks anew at records whose references have changed, or that have come or gone. `until`: the last entry of the outbox,
   * if some of it is not folded yet; what the records refer to may be born there: `born` tells which of them, by model, if
   * that is known.
   */
  note(
    db: Sqlite,
    model: SyncModel,
    {
      living,
      gone,
      until,
      born,
    }: {
      readonly living: readonly string[];
      readonly gone: readonly string[];
      readonly until: number | null;
      readonly born: ReadonlyMap<number, readonly string[]> | null;
    },
  ): void {
    if (anyLate(db)) forgetLate(db, model.number, [...living, ...gone]);
    if (living.length === 0) return;
    for (const column of this.#looseOf(db, model)) noteAbsent(db, model, column, living);
    if (until === null) return;
    for (const column of model.references) {
      const there = born?.get(column.reference!.target.number) ?? null;
      noteTentative({ db, model, column, records: living, until, born: there });
    }
  }

  /** Records of `target` are there now: what has waited for them is stamped anew. Their states have been saved. */
  recall(tx: LogTransaction, target: SyncModel, records: readonly string[]): void {
    if (records.length === 0 || !anyLate(tx.db)) return;
    const rows = presentRows({ db: tx.db, model: target, records, reader: this.#deps.reader });
    const names = [...rows].flatMap(([record, key]) => (typeof key === "number" ? [record, key] : [record]));
    const late = takeLate(tx.db, target.number, names);
    if (late.length === 0) return;
    const done = new Set<string>();
    for (const { model: number, record, absent } of late) {
      const model = this.#deps.registry.byNumber.get(number);
      if (model !== undefined) this.#stamp(tx, { model, record, target, targets: rows, absent }, done);
    }
  }

  #stamp(
    tx: LogTransaction,
    {
      model,
      record,
      target,
      targets,
      absent,
    }: {
      readonly model: SyncModel;
      readonly record: string;
      readonly target: SyncModel;
      readonly targets: ReadonlyMap<string, unknown>;
      readonly absent: boolean;
    },
    done: Set<string>,
  ): void {
    const row = this.#deps.reader.readByIdentity(tx.db, model, [record]).get(record);
    if (row === undefined) return;
    const { order } = this.#deps.members;
    const logged = loadLogged(tx.db, model.number, [record]).get(record);
    const state = stateOf(logged, true);
    const early = model.references.filter((column) => {
      const to = row[model.columns.indexOf(column)];
      if (column.reference!.target !== target || typeof to !== "string" || !targets.has(to)) return false;
      const life = lifeOf(stateOf(loadLogged(tx.db, target.number, [to]).get(to), true));
      return !referenceHolds({ reference: this.#stampOf(state, model, column), life, order });
    });
    // Others may have heard of it, and erased what led nowhere; before that is possible, a deletion elsewhere must win.
    const mayBeErased = (column: SyncColumn) =>
      column.reference!.required && this.#stampOf(state, model, column).hlc <= mostStable(tx.db, this.#deps.members);
    if (absent && early.some(mayBeErased)) this.#stampWhole(tx, model, record, done);
    else if (early.length > 0) this.#stampColumns(tx, model, record, early);
  }

  /** Stamps a record as a whole, and with it what requires it, for that may have been erased together with it. */
  #stampWhole(tx: LogTransaction, model: SyncModel, record: string, done: Set<string>): void {
    if (done.has(`${model.number} ${record}`)) return;
    done.add(`${model.number} ${record}`);
    const { reader } = this.#deps;
    const key = presentRows({ db: tx.db, model, records: [record], reader }).get(record);
    if (key === undefined) return;
    const logged = loadLogged(tx.db, model.number, [record]).get(record);
    const state = stateOf(logged, true);
    saveState({ tx, model: model.number, record, logged, state: bornAnew(state, tx.tick()) });
    for (const { model: child, column } of model.referencedBy) {
      const value = column.reference!.byIdentity ? record : key;
      if (typeof value === "object") continue;
      for (const referring of rowsReferring({ db: tx.db, model: child, column, value })) {
        if (column.reference!.required) this.#stampWhole(tx, child, referring, done);
        else this.#stampColumns(tx, child, referring, [column]);
      }
    }
  }

  #stampColumns(tx: LogTransaction, model: SyncModel, record: string, columns: readonly SyncColumn[]): void {
    const logged = loadLogged(tx.db, model.number, [record]).get(record);
    const groups = new Set(columns.map((column) => stampGroup(model, column.number)));
    const state = editedLocally(stateOf(logged, true), groups, tx.tick());
    saveState({ tx, model: model.number, record, logged, state });
  }

  #stampOf(state: RecordState, model: SyncModel, column: SyncColumn) {
    return columnStamp(state, stampGroup(model, column.number));
  }

  #looseOf(db: Sqlite, model: SyncModel): readonly SyncColumn[] {
    let loose = this.#loose.get(model);
    if (loose === undefined) {
      loose = model.references.filter(({ column }) => !isEnforced(db, model, column));
      this.#loose.set(model, loose);
    }
    return loose;
  }
}
