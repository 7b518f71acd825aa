import { physicalMs } from "../clock/hybrid-logical-clock.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import { type BackfillRecord, loadBackfill, saveBackfill } from "./backfill-store.js";
import type { LocalLibrary } from "./local-library.js";
import { beginBackfill, learnMembers } from "./membership.js";
import type { MessageOf } from "./messages.js";

/**
 * Takes what servers say that they have into the account of a backfill, in a transaction before the first page of each:
 * the pointwise minimum of their vectors is what this device will have in the end, and nothing may have been pruned above
 * it.
 */
type Plan = MessageOf<"backfill-plan">;
type Vector = Readonly<Record<string, number>>;

/** A further server that lacks what is older than this is left out: all of that would have to be pulled again. */
const MOST_BEHIND_MS = 600_000;

/** The server that a run begins with. Starts over where it does not fit what other servers have given before. */
export function noteFirstPlan(library: LocalLibrary, tx: LogTransaction, plan: Plan): BackfillRecord {
  const { members, clock } = library.deps;
  learnMembers(tx.db, members, plan.members);
  const before = loadBackfill(tx.db);
  if (before === null) throw new Error("no backfill is under way");
  const total = Object.values(plan.totals).reduce((sum, rows) => sum + rows, 0);
  const noted = before.noted === null ? plan.vector : minimum(before.noted, plan.vector);
  const floor = Math.max(before.floor, plan.floor);
  let record: BackfillRecord = { ...before, noted, floor, total };
  if (!covers(library, record, tx.self!)) {
    beginBackfill(tx.db, before.mode, clock.now());
    record = { ...loadBackfill(tx.db)!, noted: plan.vector, floor: plan.floor, total };
  }
  saveBackfill(tx.db, record);
  return record;
}

/** A further server; false: it is of no use for this backfill, and nothing has changed. */
export function noteFurtherPlan(library: LocalLibrary, tx: LogTransaction, plan: Plan): boolean {
  const { members } = library.deps;
  learnMembers(tx.db, members, plan.members);
  const before = loadBackfill(tx.db);
  if (before === null || before.noted === null) throw new Error("no backfill is under way");
  const has = (vector: Vector, member: { readonly origin: string; readonly joinHlc: number | null }) =>
    vector[member.origin] ?? member.joinHlc!;
  const behind = members
    .present()
    .some(
      (member) =>
        member.num !== tx.self &&
        physicalMs(has(before.noted!, member)) - physicalMs(has(plan.vector, member)) > MOST_BEHIND_MS,
    );
  const record = {
    ...before,
    noted: minimum(before.noted, plan.vector),
    floor: Math.max(before.floor, plan.floor),
  };
  if (behind || !covers(library, record, tx.self!)) return false;
  saveBackfill(tx.db, record);
  return true;
}

/** Whether the noted minimum lies nowhere below the floor: otherwise what lies between has been pruned away. */
export function covers(
  library: LocalLibrary,
  { noted, floor }: Pick<BackfillRecord, "noted" | "floor">,
  self: number,
): boolean {
  return library.deps.members
    .present()
    .every((member) => member.num === self || (noted?.[member.origin] ?? member.joinHlc!) >= floor);
}

function minimum(one: Vector, other: Vector): Record<string, number> {
  const least: Record<string, number> = {};
  for (const [origin, hlc] of Object.entries(one)) {
    const its = other[origin];
    if (its !== undefined) least[origin] = Math.min(hlc, its);
  }
  return least;
}
