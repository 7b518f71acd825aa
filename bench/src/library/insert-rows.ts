import type Database from "better-sqlite3";
import { type Dataset, TABLES, type TableName } from "./dataset.js";

/** As many rows as the field notes' figures were measured with. */
export const ROWS_PER_TRANSACTION = 1_000;

/**
 * What one would write by hand: a prepared insert per table, in transactions of a thousand rows, all keys known. The
 * write-ahead log and the foreign keys are those that Tidemark's own connection has, and the cache is four times as large;
 * the last commit makes everything durable, as the fence of a device does before it says that it is ready.
 */
export function insertRows(db: Database.Database, dataset: Dataset): void {
  for (const [table, rows] of Object.entries(dataset) as [TableName, Dataset[TableName]][]) {
    const columns = TABLES[table];
    const names = columns.map((column) => `"${column}"`).join(", ");
    const insert = db.prepare(`INSERT INTO "${table}" (${names}) VALUES (${columns.map(() => "?").join(", ")})`);
    const slice = db.transaction((from: number, to: number) => {
      for (let index = from; index < to; index++) insert.run(rows[index]);
    });
    for (let from = 0; from < rows.length; from += ROWS_PER_TRANSACTION) {
      slice(from, Math.min(from + ROWS_PER_TRANSACTION, rows.length));
    }
  }
  db.pragma("synchronous = FULL");
  db.pragma("user_version = 1");
}

export function configure(db: Database.Database): void {
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = NORMAL");
  db.pragma("foreign_keys = ON");
  db.pragma("cache_size = -65536");
}
