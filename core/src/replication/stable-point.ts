import type { Sqlite } from "../storage/database.js";
import { readState } from "../storage/log-transaction.js";
import type { Member, Members } from "../storage/members.js";
import { loadVector } from "../storage/vectors.js";
import { ownVector } from "./change-page.js";

/**
 * S: the time up to which every member has everything. It is the smallest entry over the vectors of all members. A
 * member's vector counts only once this device's own has reached it in every entry: what it knows beyond that may hold
 * joins and deletes that are not known here. An origin without an entry counts as its join, a member without a vector
 * holds S still.
 */
export interface StableTime {
  readonly hlc: number;
  /** Who holds it back, with the entry that does; null for a member that has said nothing yet. */
  readonly heldBackBy: readonly { readonly member: Member; readonly entry: number | null }[];
}

export function stableTime(db: Sqlite, members: Members): StableTime {
  const { self, hlc, floor, ready } = readState(db);
  if (self === null || ready === 0) return { hlc: floor, heldBackBy: [] };
  const counted = members.counted();
  const own = ownVector(db);
  const lowest = new Map<Member, number | null>();
  for (const member of counted) {
    const vector = member.num === self ? own : loadVector(db, member.num);
    const known = vector.size > 0 && [...vector].every(([origin, entry]) => entry <= entryOf(own, members, origin));
    const entries = counted.map((origin) => vector.get(origin.num) ?? origin.joinHlc!);
    lowest.set(member, known ? Math.min(...entries) : null);
  }
  const entries = [...lowest.values()];
  const stable = entries.some((entry) => entry === null) ? floor : Math.max(floor, Math.min(...(entries as number[])));
  const heldBackBy = [...lowest]
    .filter(([member, entry]) => member.num !== self && stable < hlc && (entry === null || entry === stable))
    .map(([member, entry]) => ({ member, entry }));
  return { hlc: stable, heldBackBy };
}

function entryOf(vector: ReadonlyMap<number, number>, members: Members, origin: number): number {
  return vector.get(origin) ?? members.byNumber(origin).joinHlc ?? 0;
}
