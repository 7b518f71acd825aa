import type { Sqlite } from "./database.js";
import type { LogTransaction } from "./log-transaction.js";
import { prepared } from "./statements.js";

/**
 * What tells a database that has gone back in time, when it has been written to since. Times are told to peers only after
 * the clock has been saved; so none that lies between where the clock stood at the end of one run and where it went first in
 * the next can be known to anybody. A peer that has heard of one has heard it from a future that this database has lost.
 */

/** Notes the time that has passed unused since the last run. Call it when the clock moves for the first time in a run. */
export function noteSilence(tx: LogTransaction): void {
  const { db, self, firstMove, clockBefore } = tx;
  if (self === null || firstMove === null || clockBefore === 0) return;
  // Whoever has heard of a time after a silence, has been seen not to know of any within.
  prepared(
    db,
    `DELETE FROM tidemark_silence WHERE ended <= (
       SELECT min(ifnull((SELECT hlc FROM tidemark_vector v WHERE v.member = m.num AND v.origin = ?), 0))
       FROM tidemark_member m WHERE m.removed_kind IS NULL AND m.join_hlc IS NOT NULL AND m.num <> ?)`,
  ).run(self, self);
  if (firstMove > clockBefore + 1) {
    prepared(db, "INSERT OR REPLACE INTO tidemark_silence (began, ended) VALUES (?, ?)").run(clockBefore, firstMove);
  }
}

/** Whether this device's clock can never have stood at `hlc`. */
export function isWithinSilence(db: Sqlite, hlc: number): boolean {
  return prepared(db, "SELECT 1 FROM tidemark_silence WHERE began < ? AND ended > ?").get(hlc, hlc) !== undefined;
}
