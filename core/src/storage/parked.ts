import type { ParkedKind, WireValue } from "@tidemark/plugin-api";
import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";
import { mayHoldAny } from "./stretch.js";

/** A record that is not, or not wholly, in its table, with its values in wire form. */
export interface ParkedRecord {
  readonly kind: ParkedKind;
  readonly reason: string;
  /** By column number. */
  readonly values: ReadonlyMap<number, WireValue>;
}

interface ParkedRow {
  record: string;
  kind: ParkedKind;
  reason: string;
  vals: string;
}

export function loadParked(db: Sqlite, model: number, records: readonly string[]): Map<string, ParkedRecord> {
  if (!mayHoldAny(db, "tidemark_parked", model, records)) return new Map();
  const rows = prepared(
    db,
    `SELECT p.record, p.kind, p.reason, p.vals FROM json_each(?) j
     CROSS JOIN tidemark_parked p ON p.model = ? AND p.record = j.value`,
  ).all(JSON.stringify(records), model) as ParkedRow[];
  return new Map(rows.map((row) => [row.record, parse(row)]));
}

/** Parked records with `after` < identity ≤ `upTo` (null: no bound), in order, at most `limit`. */
export function loadParkedRange(
  db: Sqlite,
  model: number,
  after: string | null,
  upTo: string | null,
  limit: number,
): Map<string, ParkedRecord> {
  const rows = prepared(
    db,
    `SELECT record, kind, reason, vals FROM tidemark_parked
     WHERE model = ? AND record > ? AND record <= ifnull(?, x'') ORDER BY record LIMIT ?`,
  ).all(model, after ?? "", upTo, limit) as ParkedRow[];
  return new Map(rows.map((row) => [row.record, parse(row)]));
}

const LIVING_BETWEEN = `FROM tidemark_parked
  WHERE model = ? AND record > ? AND record <= ifnull(?, x'') AND kind NOT IN ('dead', 'foreign')`;

/** Identities of living records that are not in their table, with `after` < identity ≤ `upTo` (null: no bound). */
export function parkedBetween(db: Sqlite, model: number, after: string | null, upTo: string | null): readonly string[] {
  const found = prepared(db, `SELECT record ${LIVING_BETWEEN} ORDER BY record`);
  return found.pluck().all(model, after ?? "", upTo) as string[];
}

export function anyParkedBetween(db: Sqlite, model: number, after: string | null, upTo: string | null): boolean {
  const found = prepared(db, `SELECT EXISTS (SELECT 1 ${LIVING_BETWEEN})`);
  return found.pluck().get(model, after ?? "", upTo) === 1;
}

/** Begins the reason of a record that a transform rejected: it stays out whatever the local schema would say. */
export const REJECTED = "rejected by a plugin: ";

/** Whether the local schema refuses any record at present. */
export function anyQuarantined(db: Sqlite): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_parked WHERE kind = 'quarantined')").pluck().get() === 1;
}

/** The records of one kind and model that may be tried again, oldest first. */
export function parkedOf({
  db,
  kind,
  model,
  rejectedToo,
}: {
  readonly db: Sqlite;
  readonly kind: ParkedKind;
  readonly model: number;
  /** Whether those that a transform rejected are among them. */
  readonly rejectedToo: boolean;
}): readonly string[] {
  return prepared(
    db,
    `SELECT record FROM tidemark_parked WHERE kind = ? AND model = ? AND (? OR reason NOT GLOB ? || '*')
     ORDER BY since, record`,
  )
    .pluck()
    .all(kind, model, rejectedToo ? 1 : 0, REJECTED) as string[];
}

function parse(row: ParkedRow): ParkedRecord {
  const values = new Map<number, WireValue>();
  for (const [column, value] of Object.entries(JSON.parse(row.vals) as Record<string, WireValue>)) {
    values.set(Number(column), value);
  }
  return { kind: row.kind, reason: row.reason, values };
}

export function park({
  db,
  model,
  record,
  parked,
  now,
}: {
  readonly db: Sqlite;
  readonly model: number;
  readonly record: string;
  readonly parked: ParkedRecord;
  /** Milliseconds since the epoch; kept from the first time that the record was parked for this reason. */
  readonly now: number;
}): void {
  prepared(
    db,
    `INSERT INTO tidemark_parked (model, record, kind, reason, vals, since) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (model, record) DO UPDATE SET
       since = CASE WHEN kind = excluded.kind THEN since ELSE excluded.since END,
       kind = excluded.kind, reason = excluded.reason, vals = excluded.vals`,
  ).run(model, record, parked.kind, parked.reason, JSON.stringify(Object.fromEntries(parked.values)), Math.trunc(now));
}

export function unpark(db: Sqlite, model: number, record: string): void {
  prepared(db, "DELETE FROM tidemark_parked WHERE model = ? AND record = ?").run(model, record);
}

export function anyParked(db: Sqlite): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_parked) AS found").pluck().get() === 1;
}
