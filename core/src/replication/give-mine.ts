import type { RecordDifference } from "../kernel/verification.js";
import type { SyncModel } from "../registry/model.js";
import { addToJournal } from "../storage/journal.js";
import { PendingDeaths } from "../storage/outbox.js";
import { OwnerFinder, PendingMoves } from "../storage/owners.js";
import { presentRows } from "../storage/present-rows.js";
import { loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import type { LocalLibrary } from "./local-library.js";
import { editedLocally, isLiving, type RecordState, type Stamp } from "./record-state.js";
import { bornAnew } from "./stamp-anew.js";
import { stampGroup } from "./stamp-group.js";

/**
 * Issues rows of this device as they are, whatever the log says of them: writes that capture has not seen. What the peer has
 * with other values has been edited, and no edit brings back what a third member has deleted; what it lacks is issued as a
 * whole. Both keep their lives, so that what refers to them goes on to hold. Rows that another device owns are left to be
 * fetched from a peer, and what stands in them is written to the journal.
 */
const RECORDS_PER_SLICE = 500;

/** Returns the records that were issued. */
export async function giveMine(
  library: LocalLibrary,
  model: SyncModel,
  differences: readonly RecordDifference[],
): Promise<ReadonlySet<string>> {
  const { members, registry, reader, clock } = library.deps;
  const records = differences.filter(({ kind, parkedHere }) => kind !== "only-there" && parkedHere === null);
  const given = new Set<string>();
  for (let from = 0; from < records.length; from += RECORDS_PER_SLICE) {
    const portion = records.slice(from, from + RECORDS_PER_SLICE);
    const slice = portion.map(({ record }) => record);
    await library.write("issue unseen writes", (tx) => {
      const { db } = tx;
      const own = members.byNumber(tx.self!).deviceId;
      const owners = new OwnerFinder(db, new PendingDeaths(db), new PendingMoves(db, registry.models, [], true));
      const rows = presentRows({ db, model, records: slice, reader });
      const logged = loadLogged(db, model.number, slice);
      const refused: string[] = [];
      for (const { record, kind } of portion) {
        if (!rows.has(record)) continue;
        const owner = owners.ownerOfRow(model, record);
        if (owner !== null && owner !== own && !members.isGone(owner)) {
          refused.push(record);
          continue;
        }
        const before = logged.get(record);
        saveState({
          tx,
          model: model.number,
          record,
          logged: before,
          state: issued(model, kind, stateOf(before, true), tx.tick()),
        });
        given.add(record);
      }
      for (const [record, row] of reader.readByIdentity(db, model, refused)) {
        addToJournal(db, {
          at: clock.now(),
          kind: "refused-change",
          model: model.name,
          record,
          reason: "only the device that owns the record may have it written, unseen or not",
          values: Object.fromEntries(model.columns.map((column, index) => [column.name, row[index]!])),
        });
      }
    });
  }
  return given;
}

function issued(model: SyncModel, kind: RecordDifference["kind"], state: RecordState, stamp: Stamp): RecordState {
  if (kind === "only-here" || !isLiving(state)) return bornAnew(state, stamp);
  const groups = new Set(model.columns.map(({ number }) => stampGroup(model, number)));
  return editedLocally(state, groups, stamp);
}
