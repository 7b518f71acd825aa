import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

/**
 * References that do not hold at present: the required ones of hidden records, and nullable ones, which read NULL in their
 * table while the identity that they refer to is kept here.
 */
export interface WaitingReference {
  readonly targetModel: number;
  readonly target: string;
  readonly model: number;
  readonly record: string;
  readonly column: number;
}

interface WaitingRow {
  target_model: number;
  target: string;
  model: number;
  record: string;
  col: number;
}

export function anyWaiting(db: Sqlite): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_waiting) AS found").pluck().get() === 1;
}

/** Those that wait for any of the given records of one model. */
export function waitingFor(db: Sqlite, targetModel: number, targets: readonly string[]): WaitingReference[] {
  const rows = prepared(
    db,
    `SELECT w.target_model, w.target, w.model, w.record, w.col FROM json_each(?) j
     CROSS JOIN tidemark_waiting w ON w.target_model = ? AND w.target = j.value`,
  ).all(JSON.stringify(targets), targetModel) as WaitingRow[];
  return rows.map(fromRow);
}

/** The references of the given records of one model that do not hold. */
export function waitingOf(db: Sqlite, model: number, records: readonly string[]): WaitingReference[] {
  const rows = prepared(
    db,
    `SELECT w.target_model, w.target, w.model, w.record, w.col FROM json_each(?) j
     CROSS JOIN tidemark_waiting w ON w.model = ? AND w.record = j.value`,
  ).all(JSON.stringify(records), model) as WaitingRow[];
  return rows.map(fromRow);
}

function fromRow(row: WaitingRow): WaitingReference {
  return { targetModel: row.target_model, target: row.target, model: row.model, record: row.record, column: row.col };
}

export function addWaiting(db: Sqlite, reference: WaitingReference): void {
  prepared(
    db,
    "INSERT OR IGNORE INTO tidemark_waiting (target_model, target, model, record, col) VALUES (?, ?, ?, ?, ?)",
  ).run(reference.targetModel, reference.target, reference.model, reference.record, reference.column);
}

/** Forgets what a record waits for, wholly or in one column. */
export function removeWaiting(db: Sqlite, model: number, record: string, column?: number): void {
  if (column === undefined) {
    prepared(db, "DELETE FROM tidemark_waiting WHERE model = ? AND record = ?").run(model, record);
  } else {
    prepared(db, "DELETE FROM tidemark_waiting WHERE model = ? AND record = ? AND col = ?").run(model, record, column);
  }
}
