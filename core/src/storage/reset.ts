import { uninstallCapture } from "./capture.js";
import type { Sqlite } from "./database.js";
import { SYNC_TABLES } from "./schema.js";

/** What a reset keeps: the names with their numbers, capture, and the journal, which is for people. */
const KEPT: ReadonlySet<string> = new Set([
  "tidemark_state",
  "tidemark_model",
  "tidemark_column",
  "tidemark_capture",
  "tidemark_journal",
]);

/**
 * Forgets stamps, vectors and membership, and keeps every record that is in its table. The device joins its library anew
 * under another origin and removes nothing; one that was alone founds it anew. Call inside a write transaction.
 */
export function resetSyncTables(db: Sqlite, logId: string): void {
  const members = db.prepare("SELECT count(*) FROM tidemark_member WHERE join_hlc IS NOT NULL").pluck().get() as number;
  for (const table of SYNC_TABLES) if (!KEPT.has(table)) db.prepare(`DELETE FROM ${table}`).run();
  db.prepare(
    "UPDATE tidemark_state SET self = NULL, floor = 0, sequence = 0, ready = 0, log_id = ?, device = NULL",
  ).run(logId);
  if (members <= 1) db.prepare("UPDATE tidemark_state SET library = NULL").run();
}

/** Takes Tidemark out of the database: the triggers first, because one without its table fails every write. */
export function removeSyncTables(db: Sqlite): void {
  uninstallCapture(db);
  for (const table of SYNC_TABLES) db.prepare(`DROP TABLE IF EXISTS ${table}`).run();
}
