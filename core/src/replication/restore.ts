import type { SyncModel } from "../registry/model.js";
import { damagedOf, removeDamaged } from "../storage/damaged.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import { loadLogged, stateOf } from "../storage/stamp-store.js";
import { applyPage } from "./apply-batch.js";
import { checkWireRecords } from "./decode-records.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import type { MessageOf } from "./messages.js";
import { type RecordState, type Stamp, type StampOrder, UNKNOWN } from "./record-state.js";
import { PlainLookup } from "./target-lookup.js";

/**
 * Puts records here to what a peer says of them, whatever the stamps say: those that local changes have damaged, and those
 * of which a comparison has shown that they differ.
 */
const RECORDS_PER_REQUEST = 500;

export type FetchRecords = (model: string, records: readonly string[]) => Promise<MessageOf<"fetched">>;

/**
 * Puts back records of other devices that local changes have damaged. The change got no stamp, so the log still tells the
 * record's true state; only its values have to come from a peer again. Until they have, this device ends no round and
 * serves no backfill: it could not tell the truth about these records.
 */
export async function restoreRecords(library: LocalLibrary, peer: string, fetch: FetchRecords): Promise<void> {
  const { connection, registry } = library.deps;
  for (const model of registry.models) {
    await takeRecords({
      library,
      peer,
      fetch,
      model,
      records: damagedOf(connection, model.number),
      settle: (tx, { told, gone }) => {
        for (const record of [...told, ...gone]) removeDamaged(tx.db, model.number, record);
      },
    });
  }
}

/** What became of records that were fetched. */
export interface Taken {
  /** The peer has told the newest of them. */
  readonly told: readonly string[];
  /** Removed: neither the peer nor the log here knows of them. */
  readonly gone: readonly string[];
}

/** Fetches records of one model and takes them over; `settle` runs in the transaction of each portion. */
export async function takeRecords({
  library,
  peer,
  fetch,
  model,
  records: all,
  settle,
}: {
  readonly library: LocalLibrary;
  /** Origin id. */
  readonly peer: string;
  readonly fetch: FetchRecords;
  readonly model: SyncModel;
  readonly records: readonly string[];
  readonly settle: (tx: LogTransaction, taken: Taken) => void;
}): Promise<void> {
  const { order } = library.deps.members;
  for (let from = 0; from < all.length; from += RECORDS_PER_REQUEST) {
    const records = all.slice(from, from + RECORDS_PER_REQUEST);
    const answer = await fetch(model.name, records);
    const page = checkWireRecords(answer.records);
    const asked = new Set(records);
    const decoded = await library.decode(page);
    const served = decoded.records;
    // What comes here is taken as state, whatever its stamps are: nothing but what was asked for.
    if (decoded.foreign.length > 0 || !served.every((it) => it.model === model && asked.has(it.record))) {
      throw replicationErrors.malformed({ reason: "fetched records that nobody asked for" });
    }
    const absent = answer.absent.filter((record) => asked.has(record));
    await applyPage(library, {
      peer,
      phase: "backfill",
      page,
      vectorMoves: false,
      restores: { floor: answer.floor },
      finish: (tx) => {
        const logged = loadLogged(tx.db, model.number, records);
        // Below its floor a peer knows as much as anybody, though its stamps do not say so.
        const isYounger = ({ hlc }: Stamp) => hlc > answer.floor;
        // Of a record that nobody knows any more nothing is left to restore.
        const gone = absent.filter((record) => !isYounger(newestOf(stateOf(logged.get(record), false), order)));
        if (gone.length > 0) {
          library.deps.applier.reconsider({
            tx,
            records: gone.map((record) => ({ model, record, state: UNKNOWN })),
            lookup: new PlainLookup(library.deps.reader),
          });
        }
        // A peer that is behind could not tell; another one will.
        const told = served.filter(({ record, state }) => {
          const newest = newestOf(state, order);
          const own = newestOf(stateOf(logged.get(record), true), order);
          return !isYounger(own) || order.compare(own, newest) <= 0;
        });
        settle(tx, { told: told.map(({ record }) => record), gone });
      },
    });
  }
}

function newestOf({ births, death, columns }: RecordState, order: StampOrder): Stamp {
  return [...births, ...columns.values()].reduce((a, b) => (order.compare(a, b) > 0 ? a : b), death);
}
