import type { RecordDifference } from "../kernel/verification.js";
import type { SyncModel } from "../registry/model.js";
import { PendingDeaths } from "../storage/outbox.js";
import { OwnerFinder, PendingMoves } from "../storage/owners.js";
import { presentRows } from "../storage/present-rows.js";
import { loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import type { LocalLibrary } from "./local-library.js";
import { bornAnew } from "./stamp-anew.js";

/**
 * Issues rows of this device as they are, whatever the log says of them: writes that capture has not seen. They keep their
 * lives, so that what refers to them goes on to hold. Rows that another device owns are left to be fetched from a peer.
 */
const RECORDS_PER_SLICE = 500;

/** Returns the records that were issued. */
export async function giveMine(
  library: LocalLibrary,
  model: SyncModel,
  differences: readonly RecordDifference[],
): Promise<ReadonlySet<string>> {
  const { members, registry, reader } = library.deps;
  const records = differences.filter(({ kind, parkedHere }) => kind !== "only-there" && parkedHere === null);
  const given = new Set<string>();
  for (let from = 0; from < records.length; from += RECORDS_PER_SLICE) {
    const slice = records.slice(from, from + RECORDS_PER_SLICE).map(({ record }) => record);
    await library.write("issue unseen writes", (tx) => {
      const { db } = tx;
      const own = members.byNumber(tx.self!).deviceId;
      const owners = new OwnerFinder(db, new PendingDeaths(db), new PendingMoves(db, registry.models, [], true));
      const rows = presentRows({ db, model, records: slice, reader });
      const logged = loadLogged(db, model.number, slice);
      for (const record of slice) {
        const owner = owners.ownerOfRow(model, record);
        if (!rows.has(record) || (owner !== null && owner !== own && !members.isGone(owner))) continue;
        const before = logged.get(record);
        saveState({
          tx,
          model: model.number,
          record,
          logged: before,
          state: bornAnew(stateOf(before, true), tx.tick()),
        });
        given.add(record);
      }
    });
  }
  return given;
}
