import { uninstallCapture } from "./capture.js";
import type { Sqlite } from "./database.js";
import { SYNC_TABLES } from "./schema.js";

/** What a reset keeps: the names with their numbers, capture, and the journal, which is for people. */
const KEPT: ReadonlySet<string> = new Set([
  "tidemark_state",
  "tidemark_model",
  "tidemark_column",
  "tidemark_capture",
  "tidemark_member",
  "tidemark_unsent",
  "tidemark_journal",
]);

/**
 * Forgets stamps, vectors and membership, and keeps every record that is in its table, and who has been removed. The
 * device joins its library anew under another origin; one that was alone founds it anew. Call inside a write transaction,
 * and load the members afterwards.
 */
export function resetSyncTables(db: Sqlite, logId: string): void {
  const others = db.prepare(
    `SELECT count(*) FROM tidemark_member
     WHERE join_hlc IS NOT NULL AND removed_kind IS NULL AND num IS NOT (SELECT self FROM tidemark_state)`,
  );
  if (others.pluck().get() === 0) db.prepare("UPDATE tidemark_state SET library = NULL").run();
  for (const table of SYNC_TABLES) if (!KEPT.has(table)) db.prepare(`DELETE FROM ${table}`).run();
  // The origin that this device had stays known: what it left unsent names it.
  db.prepare(
    "DELETE FROM tidemark_member WHERE removed_kind IS NULL AND num IS NOT (SELECT self FROM tidemark_state)",
  ).run();
  db.prepare("UPDATE tidemark_member SET join_hlc = NULL, sponsor = NULL, settled_hlc = NULL").run();
  db.prepare(
    `UPDATE tidemark_state SET self = NULL, floor = 0, sequence = 0, ready = 0, log_id = ?, device = NULL,
     next_origin = NULL, next_mode = NULL`,
  ).run(logId);
}

/** Takes Tidemark out of the database: the triggers first, because one without its table fails every write. */
export function removeSyncTables(db: Sqlite): void {
  uninstallCapture(db);
  for (const table of SYNC_TABLES) db.prepare(`DROP TABLE IF EXISTS ${table}`).run();
}
