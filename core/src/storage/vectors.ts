import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

/**
 * Version vectors by local member numbers: for each origin, the time up to which everything of it is here (applied,
 * parked or superseded). The own vector is stored under the own number; its own entry is the clock's high-water mark and
 * stands in `tidemark_state`, because it moves with every local change.
 */
export type Vector = ReadonlyMap<number, number>;

/**
 * Besides, a vector says which removals its owner knew: under the negative number of the removed member stands
 * {@link REMOVAL_KNOWN}, or {@link REMOVAL_SETTLED} once its owner has settled it. Such entries rise like all others.
 */
export const REMOVAL_KNOWN = 1;
export const REMOVAL_SETTLED = 2;

/** Under which number a vector says what its owner knew of the removal of a member. */
export function removalOf(member: number): number {
  return -member;
}

export function loadVector(db: Sqlite, member: number): Map<number, number> {
  const rows = prepared(db, "SELECT origin, hlc FROM tidemark_vector WHERE member = ?").all(member) as {
    origin: number;
    hlc: number;
  }[];
  return new Map(rows.map((row) => [row.origin, row.hlc]));
}

/** Raises entries; an entry never goes back. */
export function raiseVector(db: Sqlite, member: number, entries: Vector): void {
  const statement = prepared(
    db,
    `INSERT INTO tidemark_vector (member, origin, hlc) VALUES (?, ?, ?)
     ON CONFLICT (member, origin) DO UPDATE SET hlc = max(hlc, excluded.hlc)`,
  );
  for (const [origin, hlc] of entries) statement.run(member, origin, hlc);
}

/** The pointwise minimum: an origin that one of them lacks is lacking. */
export function minimum(a: Vector, b: Vector): Map<number, number> {
  const result = new Map<number, number>();
  for (const [origin, hlc] of a) {
    const other = b.get(origin);
    if (other !== undefined) result.set(origin, Math.min(hlc, other));
  }
  return result;
}
