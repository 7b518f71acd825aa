import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

/**
 * Records of other devices that refused local changes have damaged, until a peer has given them back. What their rows read,
 * and whether they have one, says nothing about them.
 */
export function anyDamaged(db: Sqlite): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_restore)").pluck().get() === 1;
}

export function isDamaged(db: Sqlite, model: number, record: string): boolean {
  return prepared(db, "SELECT 1 FROM tidemark_restore WHERE model = ? AND record = ?").get(model, record) !== undefined;
}

/** Their identities, in order. */
export function damagedOf(db: Sqlite, model: number): readonly string[] {
  const found = prepared(db, "SELECT record FROM tidemark_restore WHERE model = ? ORDER BY record");
  return found.pluck().all(model) as string[];
}

export function addDamaged(db: Sqlite, model: number, record: string): void {
  prepared(db, "INSERT OR IGNORE INTO tidemark_restore (model, record) VALUES (?, ?)").run(model, record);
}

export function removeDamaged(db: Sqlite, model: number, record: string): void {
  prepared(db, "DELETE FROM tidemark_restore WHERE model = ? AND record = ?").run(model, record);
}
