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

const TABLE = "INSERT OR REPLACE INTO tidemark_stamp";
/** Most rows say nothing of what was before: a death, an age. */
const PLAIN = ["model", "record", "col", "hlc", "origin", "seq"] as const;
const WITH_PAST = [...PLAIN, "prior_hlc", "prior_origin", "age"] as const;
const DELETE = "DELETE FROM tidemark_stamp WHERE model = ? AND record = ? AND col = ?";
const ROWS_AT_ONCE = [100, 10, 1];

export interface SavedState {
  readonly model: number;
  readonly record: string;
  /** What the log has of it. */
  readonly logged: LoggedState | undefined;
  readonly state: RecordState;
}

/** Writes a single state; for many of them see {@link StateWriter}. */
export function saveState({ tx, ...saved }: SavedState & { readonly tx: LogTransaction }): number {
  const writer = new StateWriter(tx);
  const written = writer.save(saved);
  writer.flush();
  return written;
}

/**
 * Writes the difference between what the log has of records and their states; every row it touches takes a fresh sequence
 * number. Rows are kept back until there are enough for a statement, which costs more than a row that it writes: call
 * `flush` before anybody reads the log. Of a record there may be one state only.
 */
export class StateWriter {
  readonly #tx: LogTransaction;
  readonly #plain: unknown[] = [];
  readonly #withPast: unknown[] = [];

  constructor(tx: LogTransaction) {
    this.#tx = tx;
  }

  /** Returns how many rows that takes. */
  save({ model, record, logged, state }: SavedState): number {
    const wanted = rowsOf(state);
    const present = logged === undefined ? NO_ROWS : rowsOf(stateOf(logged, true));
    let written = 0;
    for (const row of present) {
      if (!wanted.some((other) => other.col === row.col)) prepared(this.#tx.db, DELETE).run(model, record, row.col);
    }
    for (const { col, stamp, prior } of wanted) {
      if (present.some((other) => sameRow(other, { col, stamp, prior }))) continue;
      const seq = this.#tx.nextSequence();
      written += 1;
      if (prior.hlc === 0 && stamp.age === undefined) {
        this.#plain.push(model, record, col, stamp.hlc, stamp.origin, seq);
      } else {
        const { hlc, origin, age = null } = stamp;
        this.#withPast.push(model, record, col, hlc, origin, seq, prior.hlc, prior.origin, age);
      }
    }
    if (this.#plain.length >= PLAIN.length * ROWS_AT_ONCE[0]!) this.#write(PLAIN, this.#plain, ROWS_AT_ONCE[0]!);
    return written;
  }

  flush(): void {
    this.#write(PLAIN, this.#plain);
    this.#write(WITH_PAST, this.#withPast);
  }

  /** Writes what has been kept back, in statements of at least so many rows. */
  #write(columns: readonly string[], bound: unknown[], atLeast = 1): void {
    let next = 0;
    for (const rows of ROWS_AT_ONCE) {
      const size = rows * columns.length;
      if (rows < atLeast || bound.length - next < size) continue;
      const statement = prepared(this.#tx.db, insertion(columns, rows));
      for (; bound.length - next >= size; next += size) statement.run(bound.slice(next, next + size));
    }
    bound.splice(0, next);
  }
}

const insertions = new Map<string, string>();

/** Made once: the texts are long. */
function insertion(columns: readonly string[], rows: number): string {
  const key = `${columns.length} ${rows}`;
  let sql = insertions.get(key);
  if (sql === undefined) {
    const row = `(${columns.map(() => "?").join(", ")})`;
    sql = `${TABLE} (${columns.join(", ")}) VALUES ${new Array(rows).fill(row).join(", ")}`;
    insertions.set(key, sql);
  }
  return sql;
}

interface WantedRow {
  readonly col: number;
  readonly stamp: Birth;
  readonly prior: Stamp;
}

const NO_ROWS: readonly WantedRow[] = [];

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
