import type { Sqlite } from "../storage/database.js";
import { readState } from "../storage/log-transaction.js";
import type { Member, Members } from "../storage/members.js";
import { loadVector, REMOVAL_SETTLED, removalOf, type Vector } from "../storage/vectors.js";
import { ownVector } from "./change-page.js";

/**
 * S: the time up to which every member has everything. It is the smallest entry, over the vectors of all members, for all
 * members. A removed origin counts among them until every member has settled its removal. A vector counts only once this
 * device's own has reached it in every entry: what it knows beyond that may hold joins and deletes that are not known
 * here. An origin without an entry counts as its join, a member without a vector holds S still.
 */
export interface StableTime {
  readonly hlc: number;
  /** Who holds it back, with the entry that does; null for a member that has said nothing yet. */
  readonly heldBackBy: readonly { readonly member: Member; readonly entry: number | null }[];
}

export function stableTime(db: Sqlite, members: Members): StableTime {
  const { self, hlc, floor, ready } = readState(db);
  if (self === null || ready === 0 || members.byNumber(self).removal !== null) return { hlc: floor, heldBackBy: [] };
  const own = ownVector(db);
  const vectors = new Map<number, Vector>([[self, own]]);
  for (const { num } of members.counted()) if (num !== self) vectors.set(num, loadVector(db, num));
  const counted = [...members.present(), ...unsettled(members, vectors)];
  const said = counted.map((member) => {
    const vector = vectors.get(member.num)!;
    const entries = counted.map((origin) => vector.get(origin.num) ?? origin.joinHlc!);
    return { member, entries, lowest: reaches(own, vector, members) ? Math.min(...entries) : null };
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

/**
 * What no member's stable point can be above: the lowest entry of this device's own vector, which counts for all of them.
 * A removed origin is left out as soon as it is settled here, since the others may know that it is.
 */
export function mostStable(db: Sqlite, members: Members): number {
  const { self, hlc } = readState(db);
  const own = ownVector(db);
  const counted = members.counted().filter(({ removal, settledHlc }) => removal === null || settledHlc === null);
  return Math.min(hlc, ...counted.filter(({ num }) => num !== self).map(({ num }) => entryOf(own, members, num)));
}

/** Removed origins whose removal not every member is known to have settled. */
function unsettled(members: Members, vectors: ReadonlyMap<number, Vector>): readonly Member[] {
  const present = members.present();
  return members.counted().filter(({ removal, num: removed }) => {
    if (removal === null) return false;
    return present.some(({ num }) => (vectors.get(num)!.get(removalOf(removed)) ?? 0) < REMOVAL_SETTLED);
  });
}

/** Whether every member, but for `but`, is known to have settled a removal. One whose join nobody has heard of has left nothing. */
export function isSettledByAll(db: Sqlite, members: Members, removed: Member, but?: Member): boolean {
  if (removed.joinHlc === null) return true;
  const { self } = readState(db);
  return members.present().every(({ num }) => {
    if (num === but?.num) return true;
    const vector = num === self ? ownVector(db) : loadVector(db, num);
    return (vector.get(removalOf(removed.num)) ?? 0) >= REMOVAL_SETTLED;
  });
}

/** Whether any member but this device, which has been removed, is known to have the library. */
export function anybodyHasTheLibrary(db: Sqlite, members: Members): boolean {
  return members.present().some((member) => hasTheLibrary(db, members, member));
}

/**
 * Whether a member is known to have the library. Its founder has it, and whoever has vouched for another. Who got it from
 * others has told something of them; who is on the way to it, or never heard that it was taken in, has told nothing but
 * its own clock.
 */
export function hasTheLibrary(db: Sqlite, members: Members, { num, origin, sponsor }: Member): boolean {
  if (sponsor === null || members.all().some((other) => other.sponsor === origin)) return true;
  return [...loadVector(db, num).keys()].some((of) => of > 0 && of !== num);
}

/** Whether `own` has everything that `vector` tells; never, as long as that tells nothing. */
export function reaches(own: Vector, vector: Vector, members: Members): boolean {
  if (vector.size === 0) return false;
  for (const [origin, entry] of vector) {
    // How far others have come with a removal is no matter here; that it is known is.
    if (origin < 0 ? !own.has(origin) : entry > entryOf(own, members, origin)) return false;
  }
  return true;
}

function entryOf(vector: Vector, members: Members, origin: number): number {
  return vector.get(origin) ?? members.byNumber(origin).joinHlc ?? 0;
}
