import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "./database.js";
import { quoteName } from "./identifiers.js";

/** Whether SQLite itself keeps what a column refers to. */
export function isEnforced(db: Sqlite, model: SyncModel, column: string): boolean {
  const keys = db.pragma(`foreign_key_list(${quoteName(model.table)})`) as { from: string }[];
  return keys.some((key) => key.from === column);
}
