import type { ParkedKind, WireValue } from "@tidemark/plugin-api";
import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { saveExtra } from "../storage/extra.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import { park, unpark } from "../storage/parked.js";
import type { RecordReader } from "../storage/record-reader.js";
import { addWaiting, removeWaiting } from "../storage/waiting.js";
import { isLiving } from "./record-state.js";
import { stampGroup } from "./stamp-group.js";
import type { WorkingRecord, WorkingSet } from "./working-set.js";

/**
 * Keeps what is not in the tables: values of records that are hidden, refused or dead, references that do not hold, and
 * columns that this version does not know. Runs after the rows have been written, in the same transaction.
 */
export function keepAside({
  tx,
  set,
  reader,
  now,
  waits,
}: {
  readonly tx: LogTransaction;
  readonly set: WorkingSet;
  readonly reader: RecordReader;
  readonly now: () => number;
  /** Whether any reference waited before this transaction. */
  readonly waits: boolean;
}): void {
  const { db } = tx;
  for (const working of set.records) {
    const { model, record } = working;
    const told = !isLiving(working.state) || working.left !== null;
    if (working.extra !== null || told) {
      const extra = working.extra ?? new Map<number, WireValue>();
      saveExtra({
        db,
        model: model.number,
        record,
        values: extra,
        keep: told ? [...working.state.columns.keys(), ...(isLiving(working.state) ? extra.keys() : [])] : null,
      });
    }
    const aside = reasonAside(working);
    if (aside !== null) {
      const values = aside.kind === "dead" ? keptValues(working) : allValues(db, working, reader);
      park({ db, model: model.number, record, parked: { ...aside, values }, now: now() });
    } else if (working.parked !== null && !working.visible) unpark(db, model.number, record);
    rememberReferences(db, working, waits || working.parked !== null);
  }
}

function reasonAside(working: WorkingRecord): { readonly kind: ParkedKind; readonly reason: string } | null {
  if (working.stuck !== null) return { kind: "quarantined", reason: working.stuck };
  if (!isLiving(working.state)) {
    return working.state.columns.size > 0
      ? { kind: "dead", reason: "deleted, with edits that did not know of it" }
      : null;
  }
  if (working.refused !== null) return { kind: "quarantined", reason: working.refused };
  if (working.withheld !== null) return working.withheld;
  if (working.visible) return null;
  const missing = working.references.filter((reference) => reference.column.reference!.required && !reference.holds);
  const names = missing.map(
    (reference) => `${reference.column.name} → ${reference.column.reference!.target.name} ${reference.target}`,
  );
  return { kind: "hidden", reason: `required references do not hold: ${names.join(", ")}` };
}

/** Of a dead record, only columns that are younger than its death can still matter. */
function keptValues(working: WorkingRecord): Map<number, WireValue> {
  return valuesByNumber(working, (column) => working.state.columns.has(stampGroup(working.model, column)));
}

function allValues(db: Sqlite, working: WorkingRecord, reader: RecordReader): Map<number, WireValue> {
  if (working.hasRow) {
    // The row reads NULL where they do not hold.
    for (const { index, target } of working.references) {
      if (working.values[index] === undefined) working.values[index] = target;
    }
    // A change that was refused: the row has the older values, the record is the row with the change laid over it.
    const row = reader.readByIdentity(db, working.model, [working.record]).get(working.record);
    if (row !== undefined)
      working.values = working.values.map((value, index) => (value === undefined ? row[index] : value));
  }
  return valuesByNumber(working, () => true);
}

function valuesByNumber(working: WorkingRecord, wanted: (column: number) => boolean): Map<number, WireValue> {
  const values = new Map<number, WireValue>();
  working.model.columns.forEach((column, index) => {
    const value = working.values[index];
    if (value !== undefined && wanted(column.number)) values.set(column.number, value);
  });
  return values;
}

function rememberReferences(db: Sqlite, working: WorkingRecord, mayWait: boolean): void {
  const { model, record } = working;
  if (!working.visible) {
    if (mayWait) removeWaiting(db, model.number, record);
    if (!isLiving(working.state)) return;
  } else if (mayWait) {
    forgetReplaced(db, model, working);
  }
  for (const reference of working.references) {
    const { target, required } = reference.column.reference!;
    if (reference.holds || required === working.visible) continue;
    addWaiting(db, {
      targetModel: target.number,
      target: reference.target,
      model: model.number,
      record,
      column: reference.column.number,
    });
  }
}

/** Every reference column that was looked at or written is remembered anew below. */
function forgetReplaced(db: Sqlite, model: SyncModel, working: WorkingRecord): void {
  for (const column of model.references) {
    const index = model.columns.indexOf(column);
    if (
      working.values[index] !== undefined ||
      working.left?.has(index) ||
      working.references.some((reference) => reference.column === column)
    ) {
      removeWaiting(db, model.number, working.record, column.number);
    }
  }
}
