// What must be true of the members themselves once every fault is over, and which changes count then: of an origin that
// was removed those that all members agree on, of everybody else all.

import type { SimulatedDevice } from "./device.js";
import type { Ledger } from "./ledger.js";
import { Violation } from "./trace.js";
import type { World } from "./world.js";

/** What the members do not agree on yet; null once everybody knows exactly them, and has settled who is gone. */
export function checkMembership(members: readonly SimulatedDevice[]): string | null {
  if (members.length === 0) throw new Violation("somebody is left", "all devices have been removed");
  const origins = members.map(({ watch }) => watch.knowledge!.origin).sort();
  for (const { name, watch } of members) {
    const { joins, removals } = watch.knowledge!;
    const present = [...joins.keys()].filter((origin) => !removals.has(origin)).sort();
    if (present.join() !== origins.join()) {
      return `${name} takes ${present.join(" ")} for the members, which are ${origins.join(" ")}`;
    }
    for (const [origin, { settled }] of removals) {
      if (settled === null && joins.has(origin)) return `${name} has not settled the removal of ${origin}`;
    }
  }
  return null;
}

/** The ledger without what was lost by design: what a removed origin had made and no member has. */
export function countedWrites(world: World): Ledger {
  const known = world.members.map(({ watch }) => watch);
  const last = new Map<string, number>();
  for (const { knowledge } of known) {
    for (const [origin, { settled }] of knowledge!.removals) {
      const before = last.get(origin);
      if (settled === null) last.set(origin, before ?? Number.NEGATIVE_INFINITY);
      else if (before === undefined || before === settled || before === Number.NEGATIVE_INFINITY)
        last.set(origin, settled);
      else throw new Violation("all members settle alike", `${origin} counts up to ${before}, and up to ${settled}`);
    }
  }
  const present = new Set(known.map(({ knowledge }) => knowledge!.origin));
  const lost = known.map((watch) => watch.lostWithDatabase);
  return world.ledger.counting((stamp) => {
    const { hlc, origin } = stamp;
    if (lost.some((it) => it?.origin === origin && hlc > it.from && hlc <= it.upTo)) return false;
    return hlc <= (last.get(origin) ?? (present.has(origin) ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY));
  });
}
