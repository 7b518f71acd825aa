import type { SyncModel } from "../registry/model.js";
import { isConstraint, type Sqlite } from "../storage/database.js";
import type { OutsideReferences } from "../storage/outside-references.js";
import type { RecordReader } from "../storage/record-reader.js";
import { type Bindable, type LocalKey, type RowWriter, TO_DEFAULT } from "../storage/row-writer.js";
import { prepared } from "../storage/statements.js";
import { byModel } from "./by-model.js";
import { isLiving } from "./record-state.js";
import type { TargetLookup } from "./target-lookup.js";
import { targetsFirst } from "./targets-first.js";
import { decodeWireValue } from "./wire-value.js";
import type { WorkingRecord, WorkingReference, WorkingSet } from "./working-set.js";

/**
 * Brings the tables in line with what the working set has decided. Rows first let go of what is about to be removed, then
 * rows are removed (children before parents, for RESTRICT is immediate), then the rest is written. What the schema refuses
 * is tried once more after everything else, because a unique value may have become free or be exchanged between rows, and
 * then left aside.
 *
 * Can be run again after the set has been settled anew: it writes only what differs.
 */
export interface WriteRowsOptions {
  readonly db: Sqlite;
  readonly set: WorkingSet;
  readonly reader: RecordReader;
  readonly writer: (model: SyncModel) => RowWriter;
  readonly lookup: TargetLookup;
  readonly outside: OutsideReferences;
  /** Is given the rows that came, went or changed. */
  readonly touched: Map<SyncModel, Set<string>>;
}

/** Returns whether the schema refused to take in a row, so that what requires it has to be looked at again. */
export function writeRows({ db, set, reader, writer, lookup, outside, touched }: WriteRowsOptions): boolean {
  const removals = set.records.filter((record) => record.hasRow && !record.visible && record.stuck === null);
  const changes = set.records.filter((record) => record.hasRow && record.visible && record.stuck === null);
  const insertions = set.records.filter((record) => !record.hasRow && record.visible);
  if (removals.length > 0) keepValues(db, removals, reader);
  assignKeys(insertions, writer);

  const failed: WorkingRecord[] = [];
  const setAside = (record: WorkingRecord, reason: string): false => {
    record.stuck = reason;
    failed.push(record);
    return false;
  };
  const attempt = (record: WorkingRecord, write: (record: WorkingRecord) => boolean): void => {
    try {
      if (write(record)) touch(touched, record);
    } catch (error) {
      if (!isConstraint(error)) throw error;
      setAside(record, error.message);
    }
  };
  const remove = (record: WorkingRecord): boolean => {
    const kept = record.model.localKey === null ? null : outside.keeping(record.model, record.key as string);
    if (kept !== null) return setAside(record, kept);
    writer(record.model).delete(record.key!);
    record.hasRow = false;
    lookup.changed(record.model, record.record, null);
    return true;
  };
  const change = (record: WorkingRecord): boolean => {
    const values = changedValues(record);
    if (values === null) return false;
    writer(record.model).update(record.key!, values);
    markWritten(record);
    return true;
  };
  const insert = (record: WorkingRecord): boolean => {
    writer(record.model).insert(record.record, record.key, allValues(record));
    record.hasRow = true;
    markWritten(record);
    if (record.model.localKey !== null) lookup.changed(record.model, record.record, record.key);
    return true;
  };

  const [first, later] = partition(changes, (record) => removals.length > 0 && record.references.length > 0);
  for (const record of first) attempt(record, change);
  for (const record of removals.sort((a, b) => b.model.level - a.model.level)) attempt(record, remove);
  for (const record of targetsFirst(byLevel(insertions), targetsAmong(insertions))) attempt(record, insert);
  for (const record of later) attempt(record, change);

  // Once more, as long as it helps: what stood in the way may have moved.
  const again = (records: readonly WorkingRecord[]): WorkingRecord[] => {
    let left = records.slice();
    for (let before = -1; left.length > 0 && left.length !== before; ) {
      before = left.length;
      for (const record of left) {
        record.stuck = null;
        attempt(record, !record.visible ? remove : record.hasRow ? change : insert);
      }
      left = failed.splice(0);
    }
    return left;
  };
  let left = again(failed.splice(0));
  const exchanged = exchange({ db, records: left, writer, change });
  if (exchanged.size > 0) {
    for (const record of exchanged) {
      record.stuck = null;
      touch(touched, record);
    }
    left = again(left.filter((record) => !exchanged.has(record)));
  }
  let refused = false;
  for (const record of left) {
    if (record.hasRow) continue;
    record.refused = record.stuck;
    record.stuck = null;
    record.visible = false;
    refused = true;
  }
  return refused;
}

/**
 * Rows that stand in each other's way, such as two that swap a unique value: no order of single updates brings them
 * through, and unique checks can't be deferred. So they all let go of their unique values first. Rows that do not fit
 * even then are left as they were, and the others tried without them. Returns those that came through.
 */
function exchange({
  db,
  records,
  writer,
  change,
}: {
  readonly db: Sqlite;
  readonly records: readonly WorkingRecord[];
  readonly writer: (model: SyncModel) => RowWriter;
  readonly change: (record: WorkingRecord) => boolean;
}): ReadonlySet<WorkingRecord> {
  let candidates = records.filter((record) => record.hasRow && record.visible && record.model.uniqueKeys.length > 0);
  while (candidates.length > 1) {
    const before = candidates.map(({ written, references }) => ({
      written,
      marks: references.map((it) => it.written),
    }));
    prepared(db, "SAVEPOINT tidemark_exchange").run();
    const failed = new Set<WorkingRecord>();
    for (const step of [(record: WorkingRecord) => letGo(record, writer(record.model)), change]) {
      for (const record of candidates) {
        if (failed.has(record)) continue;
        try {
          step(record);
        } catch (error) {
          if (!isConstraint(error)) throw error;
          failed.add(record);
        }
      }
    }
    if (failed.size === 0) {
      prepared(db, "RELEASE tidemark_exchange").run();
      return new Set(candidates);
    }
    prepared(db, "ROLLBACK TO tidemark_exchange").run();
    prepared(db, "RELEASE tidemark_exchange").run();
    candidates.forEach((record, index) => {
      const { written, marks } = before[index]!;
      record.written = written;
      record.references.forEach((reference, at) => {
        const mark = marks[at];
        if (mark === undefined) delete reference.written;
        else reference.written = mark;
      });
    });
    candidates = candidates.filter((record) => !failed.has(record));
  }
  return new Set();
}

/** Puts a value that nobody else has into the unique columns that are about to be written. */
function letGo(record: WorkingRecord, writer: RowWriter): void {
  const unique = new Set(record.model.uniqueKeys.flat());
  const nobodys = Buffer.from(`tidemark ${record.model.number} ${record.record}`);
  const values = changedValues(record) ?? [];
  writer.update(
    record.key!,
    record.model.columns.map(({ column }, index) =>
      values[index] !== undefined && unique.has(column) ? nobodys : undefined,
    ),
  );
}

function touch(touched: Map<SyncModel, Set<string>>, { model, record }: WorkingRecord): void {
  const records = touched.get(model);
  if (records === undefined) touched.set(model, new Set([record]));
  else records.add(record);
}

/** A record that leaves its table while it lives (or while edits of it may still win) keeps its values. */
function keepValues(db: Sqlite, removals: readonly WorkingRecord[], reader: RecordReader): void {
  const kept = removals.filter(({ state, parked }) => parked === null && (isLiving(state) || state.columns.size > 0));
  for (const [model, records] of byModel(kept)) {
    const rows = reader.readByIdentity(
      db,
      model,
      records.map((record) => record.record),
    );
    for (const record of records) {
      const row = rows.get(record.record);
      if (row === undefined) continue;
      model.columns.forEach((_, index) => {
        // NULL is a value, too: that of a change which came with what takes the record out of its table.
        if (record.values[index] === undefined && !record.left?.has(index)) record.values[index] = row[index]!;
      });
      // A reference that reads NULL although its value is kept.
      for (const reference of record.references) record.values[reference.index] = reference.target;
    }
  }
}

function byLevel(records: readonly WorkingRecord[]): readonly WorkingRecord[] {
  return records.toSorted((a, b) => a.model.level - b.model.level);
}

function targetsAmong(records: readonly WorkingRecord[]): (record: WorkingRecord) => readonly WorkingRecord[] {
  const among = new Set(records);
  return ({ references }) =>
    references.flatMap(({ holds, working }) => (holds && working !== null && among.has(working) ? working : []));
}

/** New integer keys are assigned before anything is written, so that records of one batch may refer to each other. */
function assignKeys(insertions: readonly WorkingRecord[], writer: (model: SyncModel) => RowWriter): void {
  const next = new Map<SyncModel, bigint>();
  for (const record of insertions) {
    const { model } = record;
    if (model.localKey === null) continue;
    if (model.localKey.kind === "identity") record.key = record.record;
    else {
      const key = (next.get(model) ?? writer(model).highestKey()) + 1n;
      next.set(model, key);
      record.key = key;
    }
  }
  for (const record of insertions) {
    if (record.model.identity.kind !== "derived") continue;
    record.key = record.model.identity.columns.map((column) => {
      const reference = record.references.find((candidate) => candidate.column === column)!;
      return localValue(reference) as number | bigint | string;
    });
  }
}

function localValue(reference: WorkingReference): Exclude<LocalKey, readonly unknown[]> | null {
  if (!reference.holds) return null;
  if (reference.column.reference!.byIdentity) return reference.target;
  const key = reference.working?.key ?? reference.found?.key ?? null;
  return key as Exclude<LocalKey, readonly unknown[]> | null;
}

function allValues(record: WorkingRecord): (Bindable | undefined)[] {
  const bound = record.model.columns.map((column, index) => {
    const value = record.values[index];
    return value === undefined || column.reference !== null
      ? value === undefined
        ? undefined
        : null
      : decodeWireValue(value, column.affinity);
  });
  for (const reference of record.references) bound[reference.index] = bindKey(localValue(reference));
  return bound;
}

/** What differs from the row; null when nothing does. */
function changedValues(record: WorkingRecord): (Bindable | typeof TO_DEFAULT | undefined)[] | null {
  const bound: (Bindable | typeof TO_DEFAULT | undefined)[] = new Array(record.model.columns.length).fill(undefined);
  let any = false;
  if (!record.written) {
    for (const index of record.left ?? []) {
      bound[index] = TO_DEFAULT;
      any = true;
    }
    record.model.columns.forEach((column, index) => {
      const value = record.values[index];
      if (value === undefined) return;
      bound[index] = column.reference !== null ? null : decodeWireValue(value, column.affinity);
      any = true;
    });
  }
  for (const reference of record.references) {
    if (reference.written === reference.holds) continue;
    bound[reference.index] = bindKey(localValue(reference));
    any = true;
  }
  return any ? bound : null;
}

function markWritten(record: WorkingRecord): void {
  record.written = true;
  for (const reference of record.references) reference.written = reference.holds;
}

function bindKey(key: number | bigint | string | null): Bindable {
  return typeof key === "number" ? BigInt(key) : key;
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  const yes: T[] = [];
  const no: T[] = [];
  for (const item of items) (test(item) ? yes : no).push(item);
  return [yes, no];
}
