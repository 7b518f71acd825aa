import type { SyncModel } from "../registry/model.js";
import { damagedOf, removeDamaged } from "../storage/damaged.js";
import type { Sqlite } from "../storage/database.js";
import { type LogTransaction, readState } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { loadParked } from "../storage/parked.js";
import { loadLogged, stateOf } from "../storage/stamp-store.js";
import { loadVector, removalOf } from "../storage/vectors.js";
import type { LocalLibrary } from "./local-library.js";
import { bornLocally, diedLocally, isLiving, type RecordState, type Stamp } from "./record-state.js";
import { hasTheLibrary } from "./stable-point.js";
import { stampGroup } from "./stamp-group.js";
import { PlainLookup } from "./target-lookup.js";

/**
 * A record that a refused local change has damaged is fetched again (`restore.ts`). Where its owner has been removed, and
 * no member has the state that it had here, nobody can give it back; and until it is, this device tells nobody anything.
 * Then what stands in the table is the record, from now on and under this device's own stamp.
 */
export async function keepWhatNobodyHas(library: LocalLibrary): Promise<void> {
  if (lostRecords(library.deps.connection, library).length === 0) return;
  await library.write("keep what nobody can give back", (tx) => {
    for (const [model, record] of lostRecords(tx.db, library)) keep(library, tx, model, record);
  });
}

/** Damaged records that no member can give back. */
function lostRecords(
  db: Sqlite,
  { deps: { members, registry } }: LocalLibrary,
): readonly (readonly [SyncModel, string])[] {
  return registry.models.flatMap((model) => {
    const lost = damagedOf(db, model.number).filter((record) => {
      const state = stateOf(loadLogged(db, model.number, [record]).get(record), true);
      return !canBeGivenBack(db, members, newestStamp(state, members));
    });
    return lost.map((record) => [model, record] as const);
  });
}

function canBeGivenBack(db: Sqlite, members: Members, { hlc, origin }: Stamp): boolean {
  const { self } = readState(db);
  if (self === null || members.byNumber(self).removal !== null) return true;
  const others = members.present().filter(({ num }) => num !== self);
  const removed = origin > 0 && members.byNumber(origin).removal !== null;
  if (hlc === 0 || !removed) return others.some((other) => other.num === origin || hasTheLibrary(db, members, other));
  // Who has told what it has since it knew of the removal, gets nothing more of that origin but from others.
  return others.some(({ num }) => {
    const vector = loadVector(db, num);
    return !vector.has(removalOf(origin)) || (vector.get(origin) ?? 0) >= hlc;
  });
}

function newestStamp({ births, death, columns }: RecordState, { order }: Members): Stamp {
  return [...births, ...columns.values()].reduce((a, b) => (order.compare(a, b) > 0 ? a : b), death);
}

function keep({ deps }: LocalLibrary, tx: LogTransaction, model: SyncModel, record: string): void {
  const { reader, applier, members } = deps;
  removeDamaged(tx.db, model.number, record);
  // What is kept aside was not damaged.
  if (loadParked(tx.db, model.number, [record]).has(record)) return;
  const logged = loadLogged(tx.db, model.number, [record]).get(record);
  const before = stateOf(logged, true);
  const isHere = reader.readByIdentity(tx.db, model, [record]).has(record);
  if (!isHere && !isLiving(before)) return;
  const state = isHere ? standing(model, before, tx, members.order) : diedLocally(tx.tick());
  applier.reconsider({ tx, records: [{ model, record, state }], lookup: new PlainLookup(reader) });
}

function standing(model: SyncModel, before: RecordState, tx: LogTransaction, order: Members["order"]): RecordState {
  const stamp = tx.tick();
  if (!isLiving(before)) return bornLocally(before, stamp, tx.floor, order);
  const groups = new Set(model.columns.map(({ number }) => stampGroup(model, number)));
  const { births, death } = before;
  return { births, death, columns: new Map([...groups].map((group) => [group, stamp])) };
}
