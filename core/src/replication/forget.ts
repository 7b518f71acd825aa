import type { SyncRegistry } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { deferredDue } from "../storage/deferred.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { modelName } from "../storage/names.js";
import { loadParked, unpark } from "../storage/parked.js";
import { presentRows } from "../storage/present-rows.js";
import type { RecordReader } from "../storage/record-reader.js";
import { BIRTH, DEATH, loadLogged, OLDER_BIRTHS, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { removeWaiting, type WaitingReference } from "../storage/waiting.js";
import { columnStamp, lifeOf, referenceHolds, type Stamp } from "./record-state.js";
import { stampGroup } from "./stamp-group.js";
import { isKeptUnsent } from "./unsent.js";

/**
 * Forgets what every member has. Raising the floor is the one step that changes the meaning of anything: with it,
 * references that do not hold become final, and stamps at or below it count as gone. It is one transaction; removing the
 * rows themselves is mere tidying, and can be done in slices, later, or never.
 */
export interface ForgetDeps {
  readonly registry: SyncRegistry;
  readonly reader: RecordReader;
  readonly members: Members;
}

/**
 * Raises the floor. A reference is final when the floor has passed its stamp and its target is neither here nor held, or
 * lives (visible or hidden) a life that began later and below the floor: then a hidden record is erased without a tombstone, and a nullable
 * reference is NULL for good. Every device comes to the same by itself.
 */
export function raiseFloor(tx: LogTransaction, to: number, deps: ForgetDeps): { readonly hiddenRecords: number } {
  if (to <= tx.floor) return { hiddenRecords: 0 };
  return { hiddenRecords: judgeByFloor(tx, to, deps) };
}

/**
 * The same after a backfill, whose servers may have had a lower floor than this device has: what came is judged anew,
 * whether the floor rises or not. Returns how many hidden records were erased.
 */
export function judgeByFloor(tx: LogTransaction, to: number, deps: ForgetDeps): number {
  const erased = settleReferences(tx.db, Math.max(to, tx.floor), deps, true);
  tx.raiseFloor(to);
  tx.save();
  return erased;
}

/** How many hidden records would be erased, at least: what hangs below an erased one is not followed. */
export function countFinal(db: Sqlite, to: number, deps: ForgetDeps): number {
  return settleReferences(db, to, deps, false);
}

function settleReferences(db: Sqlite, to: number, deps: ForgetDeps, act: boolean): number {
  let erased = 0;
  for (;;) {
    const final = finalReferences(db, to, deps);
    if (!act) return new Set(final.filter(isRequired(deps)).map(({ model, record }) => `${model} ${record}`)).size;
    if (final.length === 0) return erased;
    for (const reference of final) {
      const { model, record, column } = reference;
      if (isRequired(deps)(reference)) {
        erased += erase(db, model, record);
      } else removeWaiting(db, model, record, column);
    }
    // What was erased may have been what others wait for.
  }
}

function isRequired({ registry }: ForgetDeps) {
  return ({ model, column }: WaitingReference) =>
    registry.byNumber.get(model)?.columnByNumber.get(column)?.reference?.required === true;
}

function finalReferences(db: Sqlite, to: number, deps: ForgetDeps): WaitingReference[] {
  const waiting = prepared(
    db,
    "SELECT target_model AS targetModel, target, model, record, col AS column FROM tidemark_waiting",
  ).all() as WaitingReference[];
  return waiting.filter((reference) => {
    const model = deps.registry.byNumber.get(reference.model);
    if (model === undefined) return false;
    // What is to be issued again has no stamp until then, and is no older than the floor for that.
    if (isKeptUnsent(db, model.number, reference.record)) return false;
    const state = stateOf(loadLogged(db, model.number, [reference.record]).get(reference.record), true);
    const stamp = columnStamp(state, stampGroup(model, reference.column));
    return stamp.hlc <= to && targetIsGone(db, to, reference, stamp, deps);
  });
}

/**
 * Whether the target is neither here nor held below `to`, or lives a later life than the one that was referred to at
 * `stamp`, which began at or below it. A target that is hidden may wait for the very record that refers to it.
 */
function targetIsGone(
  db: Sqlite,
  to: number,
  { targetModel, target }: WaitingReference,
  stamp: Stamp,
  deps: ForgetDeps,
): boolean {
  const model = deps.registry.byNumber.get(targetModel);
  const logged = loadLogged(db, targetModel, [target]).get(target);
  const parked = loadParked(db, targetModel, [target]).get(target);
  const visible = model !== undefined && presentRows({ db, model, records: [target], reader: deps.reader }).has(target);
  if (visible) return lifeOf(stateOf(logged, true)).hlc <= to;
  if (parked !== undefined && parked.kind !== "dead") {
    const life = lifeOf(stateOf(logged, true));
    return life.hlc <= to && !referenceHolds({ reference: stamp, life, order: deps.members.order });
  }
  if (deferredDue(db, model?.name ?? modelName(db, targetModel) ?? "", target) !== null) return false;
  const state = stateOf(logged, false);
  return state.death.hlc <= to && [...state.columns.values()].every((stamp) => stamp.hlc <= to);
}

function erase(db: Sqlite, model: number, record: string): number {
  const parked = prepared(db, "SELECT 1 FROM tidemark_parked WHERE model = ? AND record = ?").get(model, record);
  unpark(db, model, record);
  removeWaiting(db, model, record);
  prepared(db, "DELETE FROM tidemark_stamp WHERE model = ? AND record = ?").run(model, record);
  prepared(db, "DELETE FROM tidemark_extra WHERE model = ? AND record = ?").run(model, record);
  return parked === undefined ? 0 : 1;
}

export interface Sweep {
  /** Rows that were removed. */
  readonly removed: number;
  /** Where to go on; null when the whole log has been looked at. */
  readonly next: number | null;
}

/** A log of no more rows is emptied at once, in a few milliseconds; of a longer one the pages alone take too long to give back. */
const EMPTIED_AT_ONCE = 10_000;
const FORGET_DEAD = "DELETE FROM tidemark_parked WHERE kind = 'dead'";

/** Removes rows at or below the floor, in the order of the log from behind `after`, looking at up to `limit` rows. */
export function sweepLog(tx: LogTransaction, after: number, limit: number): Sweep {
  const { db, floor } = tx;
  const first = prepared(db, "SELECT seq FROM tidemark_stamp WHERE seq > ? ORDER BY seq LIMIT 1").pluck().get(after);
  if (
    floor >= tx.highWater &&
    after === 0 &&
    tx.sequence - ((first as number | undefined) ?? tx.sequence) < EMPTIED_AT_ONCE
  ) {
    // Every stamp that was ever merged here lies at or below the clock: SQLite empties the table at once.
    const removed = prepared(db, "DELETE FROM tidemark_stamp").run().changes;
    prepared(db, FORGET_DEAD).run();
    return { removed, next: null };
  }
  const last = prepared(db, "SELECT seq FROM tidemark_stamp WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?")
    .pluck()
    .get(after, limit - 1) as number | undefined;
  const upTo = last ?? tx.sequence;
  // Deaths and older births may have to stay, and what was kept of the dead goes with the last that is known of them. Neither
  // is changed by what is removed beside them.
  const apart = sweepApart(db, floor, after, upTo);
  const removed = prepared(
    db,
    `DELETE FROM tidemark_stamp WHERE seq > ? AND seq <= ? AND hlc <= ? AND col > ${DEATH}`,
  ).run(after, upTo, floor).changes;
  if (last === undefined && floor >= tx.highWater) prepared(db, FORGET_DEAD).run();
  return { removed: removed + apart, next: last ?? null };
}

/** What takes a look at the whole record; the number of rows that were removed. */
function sweepApart(db: Sqlite, floor: number, after: number, upTo: number): number {
  const anyKept = prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_parked WHERE kind = 'dead')").pluck().get() === 1;
  const rows = prepared(
    db,
    `SELECT model, record, col FROM tidemark_stamp
     WHERE seq > ? AND seq <= ? AND hlc <= ? AND (col <= ${DEATH} OR (? AND col > ${BIRTH}))`,
  ).all(after, upTo, floor, anyKept ? 1 : 0) as { model: number; record: string; col: number }[];
  const records = new Map<number, Set<string>>();
  for (const { model, record } of rows) {
    const group = records.get(model);
    if (group === undefined) records.set(model, new Set([record]));
    else group.add(record);
  }
  const known = new Map([...records].map(([model, group]) => [model, loadLogged(db, model, [...group])]));
  let removed = 0;
  for (const { model, record, col } of rows) {
    const kept = known.get(model)!.get(record);
    if (col === DEATH && kept?.death != null) continue;
    if (col <= OLDER_BIRTHS && kept?.birth != null) {
      prepared(db, "UPDATE tidemark_stamp SET hlc = 0, origin = 0 WHERE model = ? AND record = ? AND col = ?").run(
        model,
        record,
        col,
      );
      continue;
    }
    if (kept === undefined) {
      prepared(db, "DELETE FROM tidemark_parked WHERE model = ? AND record = ? AND kind = 'dead'").run(model, record);
    }
    if (col > DEATH) continue;
    prepared(db, "DELETE FROM tidemark_stamp WHERE model = ? AND record = ? AND col = ?").run(model, record, col);
    removed += 1;
  }
  return removed;
}

/** Rows at or below a time: what a sweep up to there would remove. Looks at the whole log. */
export function countStable(db: Sqlite, to: number): number {
  return prepared(db, "SELECT count(*) FROM tidemark_stamp WHERE hlc <= ?").pluck().get(to) as number;
}
