// What a device's database has of its records, read with plain SQL: the tables, and what the kernel keeps beside them.

import type { Sqlite } from "../../storage/database.js";
import type { Value } from "./ledger.js";
import type { LibraryModel } from "./library-model.js";
import type { SimulatedDisk } from "./simulated-disk.js";

/**
 * The values that the device would tell of a record: those of its row, with what is kept beside it laid over them. That is
 * columns that this version does not know, references that do not hold, and a change that the schema refuses: the row
 * keeps what it had before. A record without a row is all kept beside the table.
 */
export function recordValues({
  disk,
  db,
  number,
  model,
  record,
}: {
  readonly disk: SimulatedDisk;
  readonly db: Sqlite;
  /** The model's number in this database. */
  readonly number: number;
  /** As the device's version has it; undefined if it does not. */
  readonly model: LibraryModel | undefined;
  readonly record: string;
}): ReadonlyMap<string, Value> {
  const columns = namesByNumber(disk, db, `SELECT num, name FROM tidemark_column WHERE model = ${number}`);
  const values = new Map<string, Value>();
  const extra = disk.prepareUnseen(db, "SELECT col, val FROM tidemark_extra WHERE model = ? AND record = ?");
  for (const [col, value] of extra.raw().all(number, record) as [number, string][])
    values.set(columns.get(col)!, JSON.parse(value) as Value);
  for (const [column, value] of (model && readRow(disk, db, model, record)) ?? []) values.set(column, value);
  // What was merged in the same transaction may have taken the target of a reference, which then reads NULL and waits.
  const waiting = disk.prepareUnseen(db, "SELECT col, target FROM tidemark_waiting WHERE model = ? AND record = ?");
  for (const [col, target] of waiting.raw().all(number, record) as [number, string][])
    values.set(columns.get(col)!, target);
  const parked = disk.prepareUnseen(db, "SELECT vals FROM tidemark_parked WHERE model = ? AND record = ?");
  const kept = parked.pluck().get(number, record) as string | undefined;
  for (const [num, value] of Object.entries(JSON.parse(kept ?? "{}") as Record<string, Value>))
    values.set(columns.get(Number(num))!, value);
  return values;
}

/** The visible records of a model, by identity. */
export function readTable(
  disk: SimulatedDisk,
  db: Sqlite,
  model: LibraryModel,
): Map<string, ReadonlyMap<string, Value>> {
  const rows = disk
    .prepareUnseen(db, `${selectOf(model)} ORDER BY 1`)
    .raw()
    .all() as Value[][];
  return new Map(rows.map((row) => [String(row[0]), valuesOf(model, row)]));
}

function readRow(disk: SimulatedDisk, db: Sqlite, model: LibraryModel, record: string) {
  const row = disk
    .prepareUnseen(db, `${selectOf(model)} WHERE ${model.identity} = ?`)
    .raw()
    .get(record);
  return row === undefined ? undefined : valuesOf(model, row as Value[]);
}

function selectOf({ identity, columns, table }: LibraryModel): string {
  return `SELECT ${[identity, ...columns.map(({ sql }) => sql)].join(", ")} FROM "${table}" t`;
}

function valuesOf({ columns }: LibraryModel, row: readonly Value[]): Map<string, Value> {
  return new Map(columns.map(({ name }, index) => [name, row[index + 1] ?? null]));
}

export function namesByNumber(disk: SimulatedDisk, db: Sqlite, sql: string): ReadonlyMap<number, string> {
  const rows = disk.prepareUnseen(db, sql).all() as { num: number; name: string }[];
  return new Map(rows.map(({ num, name }) => [num, name]));
}
