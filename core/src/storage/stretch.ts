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
  let first = records[0]!;
  let last = first;
  for (const record of records) {
    if (compareIdentities(record, first) < 0) first = record;
    else if (compareIdentities(record, last) > 0) last = record;
  }
  const sql = `SELECT EXISTS (SELECT 1 FROM ${table} WHERE model = ? AND record BETWEEN ? AND ?)`;
  return prepared(db, sql).pluck().get(model, first, last) === 1;
}
