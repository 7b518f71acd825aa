import type { WireValue } from "@tidemark/plugin-api";
import type { SyncColumn, SyncModel } from "../registry/model.js";
import type { ParkedRecord } from "../storage/parked.js";
import type { LocalKey } from "../storage/row-writer.js";
import type { LoggedState } from "../storage/stamp-store.js";
import {
  columnStamp,
  isLiving,
  lifeOf,
  type RecordState,
  referenceHolds,
  type Stamp,
  type StampOrder,
} from "./record-state.js";
import { stampGroup } from "./stamp-group.js";

/**
 * The records that one transaction looks at, and the one rule that decides which of them are visible: a record is in its
 * table if it lives and each of its required references holds; a nullable reference that does not hold reads NULL. The
 * rule is a function of merged state alone, so the order in which records come does not matter.
 *
 * Cycles of required references are legal: all of a cycle is visible or none of it. The greatest solution is taken, by
 * assuming everything that lives to be visible and withdrawing what can't be.
 */
export class WorkingRecord {
  readonly model: SyncModel;
  readonly record: string;
  readonly logged: LoggedState | undefined;
  /** What was here before. */
  readonly before: RecordState;
  state: RecordState;
  /** The row in the table; null when there is none. Assigned before an insert. */
  key: LocalKey | null;
  readonly hadRow: boolean;
  /** Whether there is a row at this moment of the transaction. */
  hasRow: boolean;
  /** Whether the values have been written to the row. */
  written = false;
  readonly parked: ParkedRecord | null;
  /** New values, in the order of the model's columns; `undefined` = as it is. Complete when there is no row. */
  values: (WireValue | undefined)[];
  extra: ReadonlyMap<number, WireValue> | null = null;
  /** Set when somebody has told the record as a whole: the positions of columns that he does not have. */
  left: ReadonlySet<number> | null = null;
  /** The references that are looked at: all of them without a row, else those that changed or whose target did. */
  references: WorkingReference[] = [];
  visible = false;
  /** Why the local schema refuses to take the row in, once it has. */
  refused: string | null = null;
  /** Why the local schema refuses to change or remove the row that is there. */
  stuck: string | null = null;
  /** Named by a transform: kept out of the table for now. */
  withheld: { readonly kind: "deferred" | "quarantined"; readonly reason: string } | null = null;
  /** Whether this record came in, rather than being drawn in by another one. */
  readonly incoming: boolean;

  constructor(facts: {
    readonly model: SyncModel;
    readonly record: string;
    readonly logged: LoggedState | undefined;
    readonly before: RecordState;
    readonly key: LocalKey | null;
    readonly parked: ParkedRecord | null;
    readonly incoming: boolean;
  }) {
    this.model = facts.model;
    this.record = facts.record;
    this.logged = facts.logged;
    this.before = facts.before;
    this.state = facts.before;
    this.key = facts.key;
    this.hadRow = facts.key !== null;
    this.hasRow = this.hadRow;
    this.parked = facts.parked;
    this.incoming = facts.incoming;
    this.values = new Array(facts.model.columns.length).fill(undefined);
  }

  /** The stamp group of a column: its own number, or 0 where the whole row has one stamp. */
  stampOf(column: SyncColumn): Stamp {
    return columnStamp(this.state, stampGroup(this.model, column.number));
  }

  /** Whether the life that references are compared with is another one than before. */
  get lifeChanged(): boolean {
    const before = lifeOf(this.before);
    const after = lifeOf(this.state);
    return before.hlc !== after.hlc || before.origin !== after.origin || isLiving(this.before) !== isLiving(this.state);
  }
}

export interface WorkingReference {
  readonly column: SyncColumn;
  /** Position of the column in the model's columns. */
  readonly index: number;
  /** Identity of the target. */
  readonly target: string;
  /** The target, if it is in the working set too. */
  working: WorkingRecord | null;
  /** Else: its key and life, or null when it is not in its table. */
  found: { readonly key: LocalKey; readonly life: Stamp } | null;
  /** Whether the row reads it already, and nothing has come for the column. */
  readonly standing: boolean;
  holds: boolean;
  /** What the row says at this moment of the transaction, once it has been written: whether it holds. */
  written?: boolean;
}

export class WorkingSet {
  readonly #byModel = new Map<number, Map<string, WorkingRecord>>();
  readonly records: WorkingRecord[] = [];

  get(model: number, record: string): WorkingRecord | undefined {
    return this.#byModel.get(model)?.get(record);
  }

  add(record: WorkingRecord): void {
    let records = this.#byModel.get(record.model.number);
    if (records === undefined) {
      records = new Map();
      this.#byModel.set(record.model.number, records);
    }
    records.set(record.record, record);
    this.records.push(record);
  }

  /**
   * Decides `visible` of all records and `holds` of all references. Incoming records without a stamp come from a device on
   * which they hold, and which has forgotten everything up to `settledTo`: also since when their targets live.
   */
  settle(order: StampOrder, settledTo = 0): void {
    const holds = (record: WorkingRecord, reference: WorkingReference) => isHeld(record, reference, order, settledTo);
    const requiredHold = (record: WorkingRecord) =>
      record.references.every((reference) => !reference.column.reference!.required || holds(record, reference));
    for (const record of this.records)
      record.visible = isLiving(record.state) && record.refused === null && record.withheld === null;
    let dependents: Map<WorkingRecord, WorkingRecord[]> | null = null;
    let withdrawn: WorkingRecord[] = [];
    for (const record of this.records) {
      if (record.visible && !requiredHold(record)) {
        record.visible = false;
        withdrawn.push(record);
      }
    }
    // Nearly always nothing was withdrawn; only then is it worth knowing who refers to whom.
    while (withdrawn.length > 0) {
      dependents ??= this.#dependents();
      const next: WorkingRecord[] = [];
      for (const gone of withdrawn) {
        for (const dependent of dependents.get(gone) ?? []) {
          if (dependent.visible && !requiredHold(dependent)) {
            dependent.visible = false;
            next.push(dependent);
          }
        }
      }
      withdrawn = next;
    }
    for (const record of this.records) {
      for (const reference of record.references) reference.holds = holds(record, reference);
    }
  }

  #dependents(): Map<WorkingRecord, WorkingRecord[]> {
    const dependents = new Map<WorkingRecord, WorkingRecord[]>();
    for (const record of this.records) {
      for (const { working } of record.references) {
        if (working === null) continue;
        const list = dependents.get(working);
        if (list === undefined) dependents.set(working, [record]);
        else list.push(record);
      }
    }
    return dependents;
  }
}

function isHeld(record: WorkingRecord, reference: WorkingReference, order: StampOrder, settledTo: number): boolean {
  const { working, found } = reference;
  if (working === record) return record.visible;
  if (working === null ? found === null : !working.visible) return false;
  const life = working === null ? found!.life : lifeOf(working.state);
  const stamp = record.stampOf(reference.column);
  return (
    referenceHolds({ reference: stamp, life, order }) ||
    (record.incoming && stamp.hlc === 0 && life.hlc <= settledTo) ||
    stands(record, reference)
  );
}

/** What has held goes on to hold while nothing about it changes, though nobody may remember since when. */
function stands(record: WorkingRecord, { column, working, standing }: WorkingReference): boolean {
  if (!standing || working?.lifeChanged === true) return false;
  const before = columnStamp(record.before, stampGroup(record.model, column.number));
  const now = record.stampOf(column);
  return before.hlc === now.hlc && before.origin === now.origin;
}
