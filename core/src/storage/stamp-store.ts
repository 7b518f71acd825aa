import {
  type Birth,
  isLiving,
  newestBirth,
  type RecordState,
  SETTLED,
  type Stamp,
  UNKNOWN,
  UNSTAMPED,
} from "../replication/record-state.js";
import type { Sqlite } from "./database.js";
import type { LogTransaction } from "./log-transaction.js";
import { prepared } from "./statements.js";
import { mayHoldAny } from "./stretch.js";

/**
 * The log: record states as rows of `tidemark_stamp`. A row that is new or replaced takes a fresh local sequence number,
 * and the log is read in that order.
 */

/** Column numbers that are no columns. */
export const BIRTH = -1;
export const DEATH = -2;
/** Births above the death other than the newest one: -10, -11, … */
export const OLDER_BIRTHS = -10;

/** As an array: objects take longer to make than the rows to find. */
type StampRow = readonly [
  record: string,
  col: number,
  hlc: number,
  origin: number,
  priorHlc: number,
  priorOrigin: number,
  age: number | null,
];

/** What the log says of a record, before it is known whether the record is in its table. */
export interface LoggedState {
  readonly birth: Birth | null;
  readonly olderBirths: readonly Birth[];
  readonly death: Stamp | null;
  readonly prior: Stamp;
  readonly columns: ReadonlyMap<number, Stamp>;
}

/** Loads what the log has of the given records of a model; records without any stamp are absent. */
export function loadLogged(db: Sqlite, model: number, records: readonly string[]): Map<string, LoggedState> {
  if (!mayHoldAny(db, "tidemark_stamp", model, records)) return new Map();
  const rows = prepared(
    db,
    `SELECT s.record, s.col, s.hlc, s.origin, s.prior_hlc, s.prior_origin, s.age
     FROM json_each(?) j CROSS JOIN tidemark_stamp s ON s.model = ? AND s.record = j.value`,
  )
    .raw()
    .all(JSON.stringify(records), model) as StampRow[];
  return groupRows(rows, floorOf(db));
}

/** Loads what the log has of the records of a model with `after` < identity ≤ `upTo` (null: no bound), in order. */
export function loadLoggedRange(
  db: Sqlite,
  model: number,
  after: string | null,
  upTo: string | null,
): Map<string, LoggedState> {
  // A blob sorts behind all text: with one bound the index knows where to stop, and with none it goes to the end.
  const rows = prepared(
    db,
    `SELECT record, col, hlc, origin, prior_hlc, prior_origin, age FROM tidemark_stamp
     WHERE model = ? AND record > ? AND record <= ifnull(?, x'') ORDER BY record`,
  )
    .raw()
    .all(model, after ?? "", upTo) as StampRow[];
  return groupRows(rows, floorOf(db));
}

/** The floor: nothing at or below it counts as stamped any more, whether its row has been removed yet or not. */
function floorOf(db: Sqlite): number {
  return prepared(db, "SELECT floor FROM tidemark_state").pluck().get() as number;
}

function groupRows(rows: readonly StampRow[], floor: number): Map<string, LoggedState> {
  const states = new Map<string, { -readonly [K in keyof LoggedState]: LoggedState[K] }>();
  for (const [record, col, hlc, origin, priorHlc, priorOrigin, age] of rows) {
    const stable = hlc <= floor;
    // A tombstone stays as long as it carries a younger stamp, which only the other rows tell.
    if (stable && col !== DEATH && col > OLDER_BIRTHS) continue;
    let state = states.get(record);
    if (state === undefined) {
      state = { birth: null, olderBirths: [], death: null, prior: UNSTAMPED, columns: new Map() };
      states.set(record, state);
    }
    const stamp: Birth = {
      hlc,
      origin,
      ...(age !== null && { age: age <= floor ? 0 : age }),
    };
    if (col === BIRTH) {
      state.birth = stamp;
      state.prior = { hlc: priorHlc, origin: priorOrigin };
    } else if (col === DEATH) state.death = stamp;
    else if (col <= OLDER_BIRTHS) state.olderBirths = [...state.olderBirths, stable ? UNSTAMPED : stamp];
    else (state.columns as Map<number, Stamp>).set(col, stamp);
  }
  for (const [record, state] of states) {
    if (state.death !== null && state.death.hlc <= floor && state.columns.size === 0) state.death = null;
    // What ended the life before one from below the floor can't be compared with it any more.
    if (state.prior.hlc <= floor && state.olderBirths.some((birth) => birth.hlc === 0)) state.prior = UNSTAMPED;
    if (state.birth === null) {
      state.olderBirths = [];
      if (state.death === null && state.columns.size === 0) states.delete(record);
    }
  }
  return states;
}

/**
 * The state of a record. `present` says whether it is kept here as living, in its table or parked: then, without a birth
 * in the log, it was born at or below the floor.
 */
export function stateOf(logged: LoggedState | undefined, present: boolean): RecordState {
  if (logged === undefined) return present ? SETTLED : UNKNOWN;
  if (logged.birth !== null) {
    const older = [...logged.olderBirths].sort((a, b) => a.hlc - b.hlc);
    return { births: [...older, logged.birth], death: logged.prior, columns: logged.columns };
  }
  if (logged.death !== null) return { births: [], death: logged.death, columns: logged.columns };
  return present ? { births: [UNSTAMPED], death: UNSTAMPED, columns: logged.columns } : UNKNOWN;
}

const INSERT = `INSERT OR REPLACE INTO tidemark_stamp (model, record, col, hlc, origin, seq, prior_hlc, prior_origin, age)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const DELETE = "DELETE FROM tidemark_stamp WHERE model = ? AND record = ? AND col = ?";

/** Writes the difference between what the log has and `state`; every row it touches takes a fresh sequence number. */
export function saveState({
  tx,
  model,
  record,
  logged,
  state,
}: {
  readonly tx: LogTransaction;
  readonly model: number;
  readonly record: string;
  readonly logged: LoggedState | undefined;
  readonly state: RecordState;
}): number {
  const wanted = rowsOf(state);
  const present = logged === undefined ? [] : rowsOf(loggedAsState(logged));
  let written = 0;
  for (const row of present) {
    if (!wanted.some((other) => other.col === row.col)) {
      prepared(tx.db, DELETE).run(model, record, row.col);
    }
  }
  for (const row of wanted) {
    if (present.some((other) => sameRow(other, row))) continue;
    prepared(tx.db, INSERT).run(
      model,
      record,
      row.col,
      row.stamp.hlc,
      row.stamp.origin,
      tx.nextSequence(),
      row.prior.hlc,
      row.prior.origin,
      row.stamp.age ?? null,
    );
    written += 1;
  }
  return written;
}

interface WantedRow {
  readonly col: number;
  readonly stamp: Birth;
  readonly prior: Stamp;
}

function rowsOf(state: RecordState): WantedRow[] {
  const rows: WantedRow[] = [];
  if (isLiving(state)) {
    const newest = newestBirth(state);
    if (newest.hlc > 0) {
      rows.push({ col: BIRTH, stamp: newest, prior: state.death });
      for (let index = 0; index < state.births.length - 1; index++) {
        rows.push({ col: OLDER_BIRTHS - index, stamp: state.births[index]!, prior: UNSTAMPED });
      }
    }
  } else if (state.death.hlc > 0) {
    rows.push({ col: DEATH, stamp: state.death, prior: UNSTAMPED });
  }
  for (const [col, stamp] of state.columns) if (stamp.hlc > 0) rows.push({ col, stamp, prior: UNSTAMPED });
  return rows;
}

function loggedAsState(logged: LoggedState): RecordState {
  return stateOf(logged, true);
}

function sameRow(a: WantedRow, b: WantedRow): boolean {
  return (
    a.col === b.col &&
    a.stamp.hlc === b.stamp.hlc &&
    a.stamp.origin === b.stamp.origin &&
    a.stamp.age === b.stamp.age &&
    a.prior.hlc === b.prior.hlc &&
    a.prior.origin === b.prior.origin
  );
}
