import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { loadParked, park, unpark } from "../storage/parked.js";
import { loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import type { ForeignRecord } from "./incoming.js";
import { isLiving, joinStates } from "./record-state.js";
import { stampAnew } from "./stamp-anew.js";

/**
 * Merges records of models that this version of the application does not have. They are kept parked, in the log, relayed
 * and served, so that nothing is lost on the way through an older device.
 */
export function applyForeign({
  tx,
  records,
  members,
  now,
  backfill,
}: {
  readonly tx: LogTransaction;
  readonly records: readonly ForeignRecord[];
  readonly members: Members;
  readonly now: number;
  readonly backfill: boolean;
}): void {
  const { db } = tx;
  for (const { model, record, state, values } of records) {
    const logged = loadLogged(db, model, [record]).get(record);
    const parked = loadParked(db, model, [record]).get(record);
    const local = stateOf(logged, parked !== undefined && parked.kind !== "dead");
    const join = joinStates({ local, incoming: state, order: members.order, ties: backfill ? "unstamped" : "none" });
    if (!isLiving(join.state) && join.state.death.hlc === 0) continue;
    const kept = new Map(parked?.values ?? []);
    // How an unknown model is owned can't be known: where a whole-row stamp came, it speaks for every column.
    const wholeRow = state.columns.has(0) || local.columns.has(0);
    const wins = (column: number) => join.wins(wholeRow ? 0 : column);
    // Who tells the record as a whole says of what he does not have that it reads its default.
    for (const column of kept.keys()) if (!state.columns.has(column) && wins(column)) kept.delete(column);
    for (const [column, value] of values) if (wins(column)) kept.set(column, value);
    for (const stamp of [...state.births, ...state.columns.values()]) tx.receive(stamp.hlc);
    const merged = stampAnew({ state: join.state, members, tx });
    saveState({ tx, model, record, logged, state: merged });
    if (isLiving(merged)) {
      park({
        db,
        model,
        record,
        parked: { kind: "foreign", reason: "this version of the application does not have the model", values: kept },
        now,
      });
    } else if (merged.columns.size > 0) {
      park({
        db,
        model,
        record,
        parked: { kind: "dead", reason: "deleted, with edits that did not know of it", values: kept },
        now,
      });
    } else unpark(db, model, record);
  }
}
