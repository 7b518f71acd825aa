import type { Sqlite } from "./database.js";
import { SYNC_TABLES } from "./schema.js";

/** The size of the sync tables and their indexes in the file, in bytes. By exact names, so that it doesn't walk the file. */
export function syncTableBytes(db: Sqlite): number {
  const names = db
    .prepare("SELECT name FROM sqlite_master WHERE tbl_name IN (SELECT value FROM json_each(?)) AND rootpage > 0")
    .pluck()
    .all(JSON.stringify(SYNC_TABLES)) as string[];
  return db
    .prepare(
      "SELECT ifnull(sum(pgsize), 0) FROM dbstat WHERE aggregate = TRUE AND name IN (SELECT value FROM json_each(?))",
    )
    .pluck()
    .get(JSON.stringify(names)) as number;
}
