import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

/** Models of which writes may have gone unseen: to be compared with a peer. */
export function noteUnseen(db: Sqlite, models: readonly number[]): void {
  for (const model of models) prepared(db, "INSERT OR IGNORE INTO tidemark_unseen (model) VALUES (?)").run(model);
}

export function unseenModels(db: Sqlite): readonly number[] {
  return prepared(db, "SELECT model FROM tidemark_unseen ORDER BY model").pluck().all() as number[];
}

export function isUnseen(db: Sqlite, model: number): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_unseen WHERE model = ?)").pluck().get(model) === 1;
}

export function forgetUnseen(db: Sqlite, model: number): void {
  prepared(db, "DELETE FROM tidemark_unseen WHERE model = ?").run(model);
}
