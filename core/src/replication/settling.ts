import type { SyncModel } from "../registry/model.js";
import { isDamaged, removeDamaged } from "../storage/damaged.js";
import type { Sqlite } from "../storage/database.js";
import { type LogTransaction, readState } from "../storage/log-transaction.js";
import type { Member, Members } from "../storage/members.js";
import { loadParked, unpark } from "../storage/parked.js";
import { presentRows } from "../storage/present-rows.js";
import type { RecordReader } from "../storage/record-reader.js";
import { loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { loadVector, removalOf, type Vector } from "../storage/vectors.js";
import type { Reconsidered } from "./apply.js";
import { ownVector } from "./change-page.js";
import type { LocalLibrary } from "./local-library.js";
import { diedLocally, isLiving } from "./record-state.js";
import { reaches } from "./stable-point.js";
import { stampAnew } from "./stamp-anew.js";
import { PlainLookup } from "./target-lookup.js";

/**
 * A removal is settled when all members agree on what counts of the removed origin: their vectors, each taken after its
 * owner knew every removal known here, and each reached by this device's own vector, hold the same entry for it. From
 * then on nothing of that origin can come that a member does not have, other than what was left lying about by rounds
 * that broke off. In the transaction that settles it, and whenever more of that turns up, it is stamped anew.
 *
 * Until all members are known to have settled it, a removed origin counts for the stable point with its last known
 * vector: nothing becomes final meanwhile that depends on what somebody has still to stamp anew.
 */

/** Who keeps a removal from being settled here. */
export function waitedFor(db: Sqlite, members: Members, removed: Member): readonly Member[] {
  const { self } = readState(db);
  const own = ownVector(db);
  const entryIn = (vector: Vector) => vector.get(removed.num) ?? removed.joinHlc ?? 0;
  return members.present().filter((member) => {
    if (member.num === self) return false;
    const vector = loadVector(db, member.num);
    if (!reaches(own, vector, members) || entryIn(vector) !== entryIn(own)) return true;
    return members.removed().some(({ num }) => !vector.has(removalOf(num)));
  });
}

/** Settles what can be settled now, and stamps its late entries anew. Resolves with the origins that were settled. */
export async function settleRemovals(library: LocalLibrary): Promise<readonly Member[]> {
  const { connection, events, logger } = library.deps;
  if (settleable(connection, library.deps.members).length === 0) return [];
  const settled = await library.write("settle removals", (tx) =>
    settleable(tx.db, library.deps.members).map((member) => ({ member, stampedAnew: settle(library, tx, member) })),
  );
  for (const { member, stampedAnew } of settled) {
    const { origin, deviceId } = member;
    logger.info("All members agree on what counts of a removed one", { origin, deviceId, stampedAnew });
    events.emit("removalSettled", { origin, deviceId, stampedAnew });
  }
  return settled.map(({ member }) => member);
}

function settleable(db: Sqlite, members: Members): readonly Member[] {
  const open = members.counted().filter((member) => member.removal !== null && member.settledHlc === null);
  if (open.length === 0) return [];
  const { self, ready } = readState(db);
  if (self === null || ready === 0 || members.byNumber(self).removal !== null) return [];
  return open.filter((member) => waitedFor(db, members, member).length === 0);
}

function settle(library: LocalLibrary, tx: LogTransaction, removed: Member): number {
  const { members } = library.deps;
  const entry = ownVector(tx.db).get(removed.num) ?? removed.joinHlc!;
  prepared(tx.db, "UPDATE tidemark_member SET settled_hlc = ? WHERE num = ?").run(entry, removed.num);
  members.load(tx.db);
  return stampLate(library, tx, removed.num, entry);
}

/** Stamps anew what the log has of a removed origin above `entry`. The number of records. */
function stampLate(library: LocalLibrary, tx: LogTransaction, origin: number, entry: number): number {
  const { registry, reader, applier, members } = library.deps;
  const late = prepared(
    tx.db,
    `SELECT DISTINCT model, record FROM tidemark_stamp
     WHERE (origin = ? AND hlc > ?) OR (prior_origin = ? AND prior_hlc > ?) ORDER BY model, record`,
  ).all(origin, entry, origin, entry) as { model: number; record: string }[];
  const known: Reconsidered[] = [];
  for (const { model: number, record } of late) {
    const model: SyncModel | undefined = registry.byNumber.get(number);
    const logged = loadLogged(tx.db, number, [record]).get(record);
    // Nobody has what was here before a refused change has damaged it: what is here now is the record, or that it is gone.
    const gone = model !== undefined && isDamaged(tx.db, number, record) && !isHere(tx.db, model, record, reader);
    removeDamaged(tx.db, number, record);
    const before = stateOf(logged, true);
    const state = gone && isLiving(before) ? diedLocally(tx.tick()) : stampAnew({ state: before, members, tx });
    if (model !== undefined) known.push({ model, record, state });
    else {
      saveState({ tx, model: number, record, logged, state });
      if (state.births.length === 0 && state.columns.size === 0) unpark(tx.db, number, record);
    }
  }
  if (known.length > 0) applier.reconsider({ tx, records: known, lookup: new PlainLookup(reader) });
  return late.length;
}

/** Whether a record has its values, in its table or aside. */
function isHere(db: Sqlite, model: SyncModel, record: string, reader: RecordReader): boolean {
  return (
    presentRows({ db, model, records: [record], reader }).has(record) ||
    loadParked(db, model.number, [record]).has(record)
  );
}
