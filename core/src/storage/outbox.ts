import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

/** Local changes in the order of their commit, as the capture triggers wrote them. */
export interface OutboxEntry {
  readonly seq: number;
  readonly model: number;
  /** The identity; for derived identities the local key values as a JSON array. */
  readonly record: string;
  readonly mask: number;
  readonly part: number;
  /** The local integer key of the row. */
  readonly key: number | null;
  /** The local value of the next reference on the way to the owner: the new one of a birth, the old one otherwise. */
  readonly hop: number | string | null;
}

export const BORN = -1;
export const DIED = -2;
/** A row that an OR REPLACE may have removed. */
export const SUSPECT = -3;
/** Columns per mask; wider tables have several masks. */
export const COLUMNS_PER_PART = 48;

export function outboxIsEmpty(db: Sqlite): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_outbox)").pluck().get() === 0;
}

export function outboxSize(db: Sqlite): number {
  return prepared(db, "SELECT count(*) FROM tidemark_outbox").pluck().get() as number;
}

/** The same without counting, and more where rolled-back transactions have left gaps. */
export function outboxSpan(db: Sqlite): number {
  // Together in one query they would look at every row.
  const ends = "SELECT (SELECT max(seq) FROM tidemark_outbox) - (SELECT min(seq) FROM tidemark_outbox) + 1";
  return (prepared(db, ends).pluck().get() as number | null) ?? 0;
}

export function lastInOutbox(db: Sqlite): number {
  return (prepared(db, "SELECT max(seq) FROM tidemark_outbox").pluck().get() as number | null) ?? 0;
}

const ENTRIES = "SELECT seq, model, record, mask, part, key, hop FROM tidemark_outbox";

export function readOutbox(db: Sqlite, limit: number): OutboxEntry[] {
  return entriesOf(prepared(db, `${ENTRIES} ORDER BY seq LIMIT ?`).raw().all(limit) as OutboxRow[]);
}

export function readOutboxUpTo(db: Sqlite, seq: number): OutboxEntry[] {
  return entriesOf(prepared(db, `${ENTRIES} WHERE seq <= ? ORDER BY seq`).raw().all(seq) as OutboxRow[]);
}

/** Objects take longer to make in SQLite's driver than here. */
function entriesOf(rows: readonly OutboxRow[]): OutboxEntry[] {
  return rows.map(([seq, model, record, mask, part, key, hop]) => ({ seq, model, record, mask, part, key, hop }));
}

type OutboxRow = readonly [
  seq: number,
  model: number,
  record: string,
  mask: number,
  part: number,
  key: number | null,
  hop: number | string | null,
];

/** So many entries are looked through, and so many births told; where there are more, it is not worth it. */
const MOST_BEHIND = 50_000;
const MOST_BIRTHS = 1_000;

/** The records that are born behind `seq`, by model, of the given models; null where that would take long to find out. */
export function bornBehind(db: Sqlite, seq: number, models: readonly number[]): Map<number, string[]> | null {
  const born = new Map(models.map((model): [number, string[]] => [model, []]));
  if (models.length === 0) return born;
  if (lastInOutbox(db) - seq > MOST_BEHIND) return null;
  const rows = prepared(
    db,
    `SELECT model, record FROM tidemark_outbox
     WHERE seq > ? AND mask = ${BORN} AND model IN (SELECT value FROM json_each(?)) LIMIT ?`,
  )
    .raw()
    .all(seq, JSON.stringify(models), MOST_BIRTHS + 1) as [model: number, record: string][];
  if (rows.length > MOST_BIRTHS) return null;
  for (const [model, record] of rows) born.get(model)!.push(record);
  return born;
}

/** What comes behind `seq`, of some models. */
export function readBehind(db: Sqlite, seq: number, models: readonly number[]): OutboxEntry[] {
  return prepared(
    db,
    `SELECT seq, model, record, mask, part, key, hop FROM tidemark_outbox
     WHERE seq > ? AND mask <> ${BORN} AND model IN (SELECT value FROM json_each(?)) ORDER BY seq`,
  ).all(seq, JSON.stringify(models)) as OutboxEntry[];
}

export function removeFromOutbox(db: Sqlite, upTo: number): void {
  prepared(db, "DELETE FROM tidemark_outbox WHERE seq <= ?").run(upTo);
}

/** Drops everything: SQLite truncates instead of deleting row by row. */
export function clearOutbox(db: Sqlite): void {
  prepared(db, "DELETE FROM tidemark_outbox").run();
}

/**
 * The deaths that wait in the outbox, by the local key that the row had and by its identity, which others refer to where
 * it is the key. They tell whose key a number was before the row
 * went, and where its owner path led. Valid for one transaction; read once per model.
 */
export class PendingDeaths {
  readonly #db: Sqlite;
  readonly #models = new Map<number, Map<number | string, OutboxEntry[]>>();

  constructor(db: Sqlite) {
    this.#db = db;
  }

  /** The first death behind `after` of the record that had this key or identity. */
  find(model: number, key: number | string, after: number): OutboxEntry | undefined {
    let deaths = this.#models.get(model);
    if (deaths === undefined) {
      deaths = new Map();
      const entries = prepared(
        this.#db,
        `SELECT seq, model, record, mask, part, key, hop FROM tidemark_outbox
         WHERE mask = ${DIED} AND model = ? ORDER BY seq`,
      ).all(model) as OutboxEntry[];
      for (const entry of entries) {
        for (const name of entry.key === null ? [entry.record] : [entry.key, entry.record]) {
          const list = deaths.get(name);
          if (list === undefined) deaths.set(name, [entry]);
          else list.push(entry);
        }
      }
      this.#models.set(model, deaths);
    }
    return deaths.get(key)?.find((entry) => entry.seq > after);
  }
}

/** The columns named by a mask. */
export function columnsOf(mask: number, part: number): number[] {
  const columns: number[] = [];
  let rest = mask;
  // Masks are wider than the 32 bits of JavaScript's bit operators.
  for (let bit = 0; rest > 0; bit++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) columns.push(part * COLUMNS_PER_PART + bit + 1);
  }
  return columns;
}
