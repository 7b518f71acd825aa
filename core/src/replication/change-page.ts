import type { Sqlite } from "../storage/database.js";
import { deferredBetween, nextDue } from "../storage/deferred.js";
import { readState } from "../storage/log-transaction.js";
import { outboxIsEmpty } from "../storage/outbox.js";
import { type LoggedState, loadLogged, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { loadVector, REMOVAL_KNOWN, REMOVAL_SETTLED, removalOf, type Vector } from "../storage/vectors.js";
import { type EncodeDeps, encodeRecords, type Outgoing } from "./encode-records.js";
import { appendPage, isNews } from "./future-page.js";
import type { RecordState, Stamp } from "./record-state.js";
import { anyUnsent } from "./unsent.js";
import type { WireRecords } from "./wire-records.js";

/**
 * Reads the log in the order of its local sequence, as pages for one receiver. A record is sent with everything of it
 * that is newer than the receiver's vector; a creation takes the whole record along.
 */
export interface ChangePage {
  readonly records: WireRecords;
  /** Position in the log after this page. */
  readonly position: number;
  /** Whether the log goes on after this page. */
  readonly more: boolean;
  /**
   * The sender's own vector, read in the transaction that found the end of the log; null while there is more, and while
   * records have to be restored, of which nothing true can be told.
   */
  readonly end: { readonly self: number; readonly vector: Vector } | null;
}

type LogRow = readonly [seq: number, model: number, record: string];

/**
 * Reads one page inside a transaction of the caller (reading or writing). Returns null when the outbox holds something:
 * then neither values nor the vector may leave, and the caller folds first.
 */
export function readChangePage({
  db,
  after,
  limit,
  receiver,
  deps,
}: {
  readonly db: Sqlite;
  /** Position in the log from which to read. */
  readonly after: number;
  readonly limit: number;
  /** What the receiver has, by local numbers. */
  readonly receiver: Vector;
  readonly deps: EncodeDeps;
}): ChangePage | null {
  if (!outboxIsEmpty(db)) return null;
  if (isRestoring(db)) return { records: { origins: [], groups: [] }, position: after, more: false, end: null };
  const rows = prepared(db, "SELECT seq, model, record FROM tidemark_stamp WHERE seq > ? ORDER BY seq LIMIT ?")
    .raw()
    .all(after, limit) as LogRow[];
  const state = readState(db);
  const position = rows.length === limit ? rows[rows.length - 1]![0] : state.sequence;
  const byModel = new Map<number, Set<string>>();
  for (const [, model, record] of rows) {
    const records = byModel.get(model) ?? new Set();
    records.add(record);
    byModel.set(model, records);
  }
  const isNew = (stamp: Stamp) => stamp.hlc > (receiver.get(stamp.origin) ?? 0);
  const outgoing: Outgoing[] = [];
  for (const [model, records] of byModel) {
    const states = loadLogged(db, model, [...records]);
    for (const [record, logged] of states) {
      const item = newsFor(model, record, logged, isNew);
      if (item !== null) outgoing.push(item);
    }
  }
  const more = rows.length === limit;
  let records = encodeRecords(db, outgoing, deps);
  const entryOf = (origin: string) => receiver.get(deps.members.byOrigin(origin)?.num ?? 0) ?? 0;
  for (const { entry } of deferredBetween(db, after, position)) {
    const kept = JSON.parse(entry) as WireRecords;
    if (isNews(kept, entryOf)) records = appendPage(records, kept);
  }
  return {
    records,
    position,
    more,
    end: more ? null : { self: state.self!, vector: ownVector(db) },
  };
}

/** Whether something is kept here of which a snapshot could not tell the truth. */
export function isUnsettled(db: Sqlite): boolean {
  return isRestoring(db) || nextDue(db) !== null || anyUnsent(db);
}

/** Whether records have been damaged by refused local changes and are to be fetched from a peer. */
export function isRestoring(db: Sqlite): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_restore)").pluck().get() === 1;
}

/** The part of a record that the receiver doesn't have; null when it has all of it. */
function newsFor(
  model: number,
  record: string,
  logged: LoggedState,
  isNew: (stamp: Stamp) => boolean,
): Outgoing | null {
  const state = stateOf(logged, true);
  if (state.births.some((birth) => birth.hlc > 0 && isNew(birth))) return { model, record, state, full: true };
  const columns = new Map([...state.columns].filter(([, stamp]) => isNew(stamp)));
  const died = state.births.length === 0 && isNew(state.death);
  if (!died && columns.size === 0) return null;
  const part: RecordState = { births: [], death: died ? state.death : { hlc: 0, origin: 0 }, columns };
  return { model, record, state: part, full: false };
}

/** Everything that is here: the stored vector, the own entry, which is the clock's high-water mark, and the removals. */
export function ownVector(db: Sqlite): Map<number, number> {
  const { self, hlc } = readState(db);
  if (self === null) return new Map();
  const vector = loadVector(db, self);
  vector.set(self, hlc);
  const removed = prepared(
    db,
    "SELECT num, settled_hlc IS NOT NULL AS settled FROM tidemark_member WHERE removed_kind IS NOT NULL",
  ).all() as { num: number; settled: number }[];
  for (const { num, settled } of removed) vector.set(removalOf(num), settled ? REMOVAL_SETTLED : REMOVAL_KNOWN);
  return vector;
}
