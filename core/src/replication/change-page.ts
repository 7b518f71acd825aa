import { anyDamaged } from "../storage/damaged.js";
import type { Sqlite } from "../storage/database.js";
import { deferredBetween, nextDue } from "../storage/deferred.js";
import { readState } from "../storage/log-transaction.js";
import { outboxIsEmpty } from "../storage/outbox.js";
import { DEATH, type LoggedState, loadLogged, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { loadVector, REMOVAL_KNOWN, REMOVAL_SETTLED, removalOf, type Vector } from "../storage/vectors.js";
import { type EncodeDeps, encodeRecords, type Outgoing } from "./encode-records.js";
import { appendPage, isNews } from "./future-page.js";
import { ANY_ORIGIN, type RecordState, type Stamp, UNSTAMPED } from "./record-state.js";
import { anyUnsent } from "./unsent.js";
import type { WireRecords } from "./wire-records.js";

/**
 * Reads the log in the order of its local sequence, as pages for one receiver: what is newer than the receiver's vector.
 * A creation takes the whole record along; of a record that the receiver knows each entry is sent for itself.
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

type LogRow = readonly [
  seq: number,
  model: number,
  record: string,
  col: number,
  hlc: number,
  origin: number,
  /** Of a birth, the death that it stands on; origin 0: none. */
  priorHlc: number,
  priorOrigin: number,
];

/** So many pages' worth of what is no news to the receiver is passed over at a time. */
const PAGES_LOOKED_AT = 8;

/**
 * Reads one page inside a transaction of the caller (reading or writing). Returns null when the outbox holds something:
 * then neither values nor the vector may leave, and the caller folds first.
 */
export function readChangePage({
  db,
  after,
  limit,
  usual = limit,
  receiver,
  maker = null,
  deps,
}: {
  readonly db: Sqlite;
  /** Position in the log from which to read. */
  readonly after: number;
  readonly limit: number;
  /** The limit where records are not large: what is passed over is not read, and may be as much as ever. */
  readonly usual?: number;
  /** What the receiver has, by local numbers. */
  readonly receiver: Vector;
  /** Local number of the receiver, if it is known here: what it has made itself is passed over. */
  readonly maker?: number | null;
  readonly deps: EncodeDeps;
}): ChangePage | null {
  if (!outboxIsEmpty(db)) return null;
  if (anyDamaged(db)) return { records: { origins: [], groups: [] }, position: after, more: false, end: null };
  const state = readState(db);
  const { rows, position, more } = readLog({
    db,
    after,
    limit,
    looked: usual * PAGES_LOOKED_AT,
    maker,
    sequence: state.sequence,
  });
  const outgoing = news(db, rows, receiver, state.floor);
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

/**
 * The next entries of the log, but for those that the receiver has made itself: after a large page of its changes they are
 * nearly all that is new here.
 */
function readLog({
  db,
  after,
  limit,
  looked,
  maker,
  sequence,
}: {
  readonly db: Sqlite;
  readonly after: number;
  readonly limit: number;
  /** Entries of the log that are looked at, at most. */
  readonly looked: number;
  readonly maker: number | null;
  readonly sequence: number;
}): { readonly rows: readonly LogRow[]; readonly position: number; readonly more: boolean } {
  const rows = prepared(
    db,
    `SELECT seq, model, record, col, hlc, origin, prior_hlc, prior_origin
     FROM (SELECT * FROM tidemark_stamp WHERE seq > ? ORDER BY seq LIMIT ?) WHERE origin IS NOT ? OR prior_origin <> 0
     ORDER BY seq LIMIT ?`,
  )
    .raw()
    .all(after, looked, maker, limit) as LogRow[];
  if (rows.length === limit) return { rows, position: rows[limit - 1]![0], more: true };
  const last = prepared(db, "SELECT seq FROM tidemark_stamp WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?")
    .pluck()
    .get(after, looked - 1) as number | undefined;
  return { rows, position: last ?? sequence, more: last !== undefined };
}

/**
 * What of these entries the receiver doesn't have. A record that is new to it goes as a whole; of one that it knows, each
 * entry says all that has to be told.
 */
function news(db: Sqlite, rows: readonly LogRow[], receiver: Vector, floor: number): Outgoing[] {
  const outgoing: Outgoing[] = [];
  const whole = new Map<number, Set<string>>();
  const parts = new Map<number, Map<string, Part>>();
  for (const [, model, record, col, hlc, origin, priorHlc, priorOrigin] of rows) {
    // The death of older lives, which has no entry of its own.
    const endIsNew = priorOrigin !== ANY_ORIGIN && priorHlc > (receiver.get(priorOrigin) ?? 0);
    if (hlc <= (receiver.get(origin) ?? 0) && !endIsNew) continue;
    // What is forgotten is told from the rest of the record.
    if (hlc <= floor || (col < 0 && col !== DEATH)) {
      const records = whole.get(model);
      if (records === undefined) whole.set(model, new Set([record]));
      else records.add(record);
      continue;
    }
    let group = parts.get(model);
    if (group === undefined) {
      group = new Map();
      parts.set(model, group);
    }
    let part = group.get(record);
    if (part === undefined) {
      part = { births: [], death: UNSTAMPED, columns: new Map() };
      group.set(record, part);
    }
    if (col === DEATH) part.death = { hlc, origin };
    else part.columns.set(col, { hlc, origin });
  }
  const isNew = (stamp: Stamp) => stamp.hlc > (receiver.get(stamp.origin) ?? 0);
  for (const [model, records] of whole) {
    for (const [record, logged] of loadLogged(db, model, [...records])) {
      const item = newsFor(model, record, logged, isNew);
      if (item !== null) outgoing.push(item);
    }
  }
  for (const [model, group] of parts) {
    const told = whole.get(model);
    for (const [record, state] of group) {
      if (told?.has(record) !== true) outgoing.push({ model, record, state, full: false });
    }
  }
  return outgoing;
}

interface Part extends RecordState {
  death: Stamp;
  readonly columns: Map<number, Stamp>;
}

/** Whether something is kept here of which a snapshot could not tell the truth. */
export function isUnsettled(db: Sqlite): boolean {
  return anyDamaged(db) || nextDue(db) !== null || anyUnsent(db);
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
  // That of a living record ends older lives, of which the receiver may have one.
  const died = state.death.origin !== ANY_ORIGIN && isNew(state.death);
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
