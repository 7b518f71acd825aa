import { compareIdentities } from "../registry/identity-form.js";
import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

/** Below so many records a look at each costs no more. */
const WORTH_LOOKING = 8;

/**
 * Whether a table of the log may hold something of the given records of a model: a single look at the whole stretch from the
 * lowest to the highest of them, which mostly says no for all. Identities that are made in the order of time are near each
 * other, and most of what is changed has no stamp yet.
 */
export function mayHoldAny(
  db: Sqlite,
  table: "tidemark_stamp" | "tidemark_parked",
  model: number,
  records: readonly string[],
): boolean {
  if (records.length < WORTH_LOOKING) return true;
  // Nothing is kept of most models, so that there is no need to know the stretch.
  const any = prepared(db, `SELECT EXISTS (SELECT 1 FROM ${table} WHERE model = ?)`);
  if (any.pluck().get(model) === 0) return false;
  let first = records[0]!;
  let last = first;
  for (const record of records) {
    // They are mostly in order.
    if (compareIdentities(record, last) > 0) last = record;
    else if (compareIdentities(record, first) < 0) first = record;
  }
  const sql = `SELECT EXISTS (SELECT 1 FROM ${table} WHERE model = ? AND record BETWEEN ? AND ?)`;
  return prepared(db, sql).pluck().get(model, first, last) === 1;
}
