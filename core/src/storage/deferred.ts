import type { Sqlite } from "./database.js";
import type { LogTransaction } from "./log-transaction.js";
import { prepared } from "./statements.js";

/**
 * Entries from beyond the drift limit, as they came: this device counts them as had and relays them, and merges them when
 * their time has come, so that no wrong clock drags its own ahead.
 */
export interface DeferredEntry {
  readonly seq: number;
  /** The highest stamp in it. */
  readonly due: number;
  /** A page of one record, as JSON. */
  readonly entry: string;
}

/** Keeps a page of one record. A round that was begun again brings the same once more; one copy is enough. */
export function defer(tx: LogTransaction, due: number, page: unknown): void {
  const entry = JSON.stringify(page);
  const known = prepared(tx.db, "SELECT 1 FROM tidemark_deferred WHERE due = ? AND entry = ?").get(due, entry);
  if (known !== undefined) return;
  prepared(tx.db, "INSERT INTO tidemark_deferred (seq, due, entry) VALUES (?, ?, ?)").run(
    tx.nextSequence(),
    due,
    entry,
  );
}

/** When all that is kept of a record will have been merged; null if nothing is. */
export function deferredDue(db: Sqlite, model: string, record: string): number | null {
  return prepared(
    db,
    `SELECT max(due) FROM tidemark_deferred
     WHERE json_extract(entry, '$.groups[0].m') = ? AND json_extract(entry, '$.groups[0].r[0][0]') = ?`,
  )
    .pluck()
    .get(model, record) as number | null;
}

/** In the order of the log, with `after` < seq ≤ `upTo`. */
export function deferredBetween(db: Sqlite, after: number, upTo: number): readonly DeferredEntry[] {
  return prepared(db, "SELECT seq, due, entry FROM tidemark_deferred WHERE seq > ? AND seq <= ? ORDER BY seq").all(
    after,
    upTo,
  ) as DeferredEntry[];
}

/** Those whose time has come, oldest first. */
export function deferredUntil(db: Sqlite, hlc: number): readonly DeferredEntry[] {
  return prepared(db, "SELECT seq, due, entry FROM tidemark_deferred WHERE due <= ? ORDER BY due, seq").all(
    hlc,
  ) as DeferredEntry[];
}

/** When the next one is due; null when there is none. */
export function nextDue(db: Sqlite): number | null {
  return prepared(db, "SELECT min(due) FROM tidemark_deferred").pluck().get() as number | null;
}

export function forgetDeferred(db: Sqlite, seq: number): void {
  prepared(db, "DELETE FROM tidemark_deferred WHERE seq = ?").run(seq);
}
