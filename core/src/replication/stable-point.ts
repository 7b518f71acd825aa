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
  const said = counted.map((member) => {
    const vector = member.num === self ? own : loadVector(db, member.num);
    const known = vector.size > 0 && [...vector].every(([origin, entry]) => entry <= entryOf(own, members, origin));
    const entries = counted.map((origin) => vector.get(origin.num) ?? origin.joinHlc!);
    return { member, entries, lowest: known ? Math.min(...entries) : null };
  });
  const all = said.map(({ lowest }) => lowest);
  const stable = all.some((entry) => entry === null) ? floor : Math.max(floor, Math.min(...(all as number[])));
  if (stable >= hlc) return { hlc: stable, heldBackBy: [] };
  // Nobody can have more of an origin than it has said. Then the silent origin holds back, and not those who listen to it.
  const ofOrigin = counted.map(({ num }) => entryOf(own, members, num));
  const heldBackBy = said
    .filter(({ member, entries, lowest }, index) => {
      if (member.num === self) return false;
      if (lowest === null || ofOrigin[index] === stable) return true;
      return lowest === stable && entries.some((entry, origin) => entry === stable && ofOrigin[origin]! > stable);
    })
    .map(({ member, lowest }) => ({ member, entry: lowest }));
  return { hlc: stable, heldBackBy };
}

function entryOf(vector: ReadonlyMap<number, number>, members: Members, origin: number): number {
  return vector.get(origin) ?? members.byNumber(origin).joinHlc ?? 0;
}
