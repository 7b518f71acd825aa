import { uninstallCapture } from "./capture.js";
import type { Sqlite } from "./database.js";
import { SYNC_TABLES } from "./schema.js";

/** What a reset keeps: the names with their numbers, capture and its gaps, and the journal, which is for people. */
const KEPT: ReadonlySet<string> = new Set([
  "tidemark_state",
  "tidemark_model",
  "tidemark_column",
  "tidemark_capture",
  "tidemark_member",
  "tidemark_unsent",
  "tidemark_unseen",
  "tidemark_journal",
]);

/**
 * Forgets stamps, vectors and membership, and keeps every record that is in its table, and who has been removed. The
 * device joins its library anew under another origin. Only one that has never known another device forgets its library,
 * too: whoever has known others can't tell whether they go on without it, and would found a second library beside theirs.
 * Call inside a write transaction, and load the members afterwards.
 */
export function resetSyncTables(db: Sqlite, logId: string): void {
  const { self, others } = db
    .prepare(
      `SELECT self, EXISTS (SELECT 1 FROM tidemark_member m WHERE m.num IS NOT s.self AND m.device IS NOT s.device
         AND (m.join_hlc IS NOT NULL OR m.removed_kind IS NOT NULL)) AS others FROM tidemark_state s`,
    )
    .get() as { self: number | null; others: number };
  if (self !== null && others === 0) db.prepare("UPDATE tidemark_state SET library = NULL").run();
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
