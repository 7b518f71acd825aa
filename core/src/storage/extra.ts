import type { WireValue } from "@tidemark/plugin-api";
import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

/** Values of columns that this version of the application does not have: kept and relayed until it does. */
export function loadExtra(db: Sqlite, model: number, records: readonly string[]): Map<string, Map<number, WireValue>> {
  const rows = prepared(
    db,
    `SELECT e.record, e.col, e.val FROM json_each(?) j CROSS JOIN tidemark_extra e ON e.model = ? AND e.record = j.value`,
  ).all(JSON.stringify(records), model) as { record: string; col: number; val: string }[];
  const extra = new Map<string, Map<number, WireValue>>();
  for (const row of rows) {
    const values = extra.get(row.record) ?? new Map<number, WireValue>();
    values.set(row.col, JSON.parse(row.val) as WireValue);
    extra.set(row.record, values);
  }
  return extra;
}

export function anyExtra(db: Sqlite): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_extra)").pluck().get() === 1;
}

/** Writes values; `keep`, if not null, names the columns that stay of those that were there. */
export function saveExtra({
  db,
  model,
  record,
  values,
  keep,
}: {
  readonly db: Sqlite;
  readonly model: number;
  readonly record: string;
  readonly values: ReadonlyMap<number, WireValue>;
  readonly keep: readonly number[] | null;
}): void {
  for (const [column, value] of values) {
    prepared(db, "INSERT OR REPLACE INTO tidemark_extra (model, record, col, val) VALUES (?, ?, ?, ?)").run(
      model,
      record,
      column,
      JSON.stringify(value),
    );
  }
  if (keep !== null && anyExtra(db)) {
    prepared(
      db,
      "DELETE FROM tidemark_extra WHERE model = ? AND record = ? AND col NOT IN (SELECT value FROM json_each(?))",
    ).run(model, record, JSON.stringify(keep));
  }
}
