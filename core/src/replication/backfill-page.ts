import { compareIdentities } from "../registry/identity-form.js";
import type { SyncModel, SyncRegistry } from "../registry/model.js";
import { damagedOf } from "../storage/damaged.js";
import type { Sqlite } from "../storage/database.js";
import { readState } from "../storage/log-transaction.js";
import { outboxIsEmpty } from "../storage/outbox.js";
import { loadParkedRange } from "../storage/parked.js";
import type { RecordPage } from "../storage/record-reader.js";
import { loadLogged, loadLoggedRange, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { type EncodeDeps, encodeRecords, type Outgoing } from "./encode-records.js";
import { blockOf } from "./wire-block.js";
import type { WireRecords, WireSettledRecord } from "./wire-records.js";

/**
 * The serving side of a backfill. A page is state: every record of a range of identities, with all stamps above the
 * floor; hidden, parked, quarantined and dead records included. No transaction stays open between pages.
 */
export interface BackfillPage {
  readonly records: WireRecords;
  /** The page covers its range up to here, inclusive; null: to the end of the model. */
  readonly upTo: string | null;
  readonly floor: number;
}

const EMPTY_PAGE: RecordPage = { rows: [], next: null };

/** Reads the first page of a range inside a transaction of the caller; null when the outbox holds something and must be folded first. */
export function readBackfillPage({
  db,
  model: name,
  after,
  upTo: end,
  limit,
  deps,
}: {
  readonly db: Sqlite;
  /** Wire name. */
  readonly model: string;
  readonly after: string | null;
  /** Null: to the end of the model. */
  readonly upTo: string | null;
  readonly limit: number;
  readonly deps: EncodeDeps;
}): BackfillPage | null {
  if (!outboxIsEmpty(db)) return null;
  const { floor } = readState(db);
  const model = deps.registry.byName.get(name);
  const number = model?.number ?? numberOf(db, name);
  if (number === null) return { records: { origins: [], groups: [] }, upTo: end, floor };

  // The range is as long as the fullest of the three stores allows.
  const page = model === undefined ? EMPTY_PAGE : deps.reader.readPage(db, model, { after, upTo: end, limit });
  const parked = [...loadParkedRange(db, number, after, end, limit).keys()];
  const logged = loggedIdentities(db, number, after, end, limit);
  let upTo = end;
  const ends = [parked, logged].map((list) => (list.length === limit ? list[limit - 1]! : null));
  for (const last of [page.next, ...ends]) {
    if (last !== null && (upTo === null || compareIdentities(last, upTo) < 0)) upTo = last;
  }
  const within = (record: string) => upTo === null || compareIdentities(record, upTo) <= 0;
  const present = new Set(page.rows.map(({ identity }) => identity).filter(within));
  for (const [record, { kind }] of loadParkedRange(db, number, after, upTo, limit))
    if (kind !== "dead") present.add(record);
  const states = loadLoggedRange(db, number, after, upTo);
  const outgoing: Outgoing[] = [];
  for (const record of present) {
    outgoing.push({ model: number, record, state: stateOf(states.get(record), true), full: true });
  }
  for (const [record, state] of states) {
    if (!present.has(record)) outgoing.push({ model: number, record, state: stateOf(state, false), full: false });
  }
  const read = new Map(page.rows.map((row) => [row.identity, row.values]));
  return { records: withBlock(encodeRecords(db, outgoing, deps, read), model), upTo, floor };
}

/** Takes the settled records together: they are most of what a page holds, and in the order of their identities. */
function withBlock(records: WireRecords, model: SyncModel | undefined): WireRecords {
  const [group] = records.groups;
  if (model?.identity.kind !== "column" || group === undefined) return records;
  const settled = group.r.filter((record): record is WireSettledRecord => record.length === 2);
  const block = blockOf(
    settled,
    model.columns.map(({ reference }) => reference !== null),
  );
  if (block === null) return records;
  return { ...records, groups: [{ ...group, r: group.r.filter((record) => record.length !== 2), k: block }] };
}

/** Single records in the form of a backfill page, for a device that has to restore them. */
export function readRecords({
  db,
  model: name,
  records,
  deps,
}: {
  readonly db: Sqlite;
  readonly model: string;
  readonly records: readonly string[];
  readonly deps: EncodeDeps;
}): { readonly records: WireRecords; readonly absent: readonly string[]; readonly floor: number } | null {
  if (!outboxIsEmpty(db)) return null;
  const model = deps.registry.byName.get(name);
  const { floor } = readState(db);
  if (model === undefined) return { records: { origins: [], groups: [] }, absent: [], floor };
  const rows = deps.reader.readByIdentity(db, model, records);
  const logged = loadLogged(db, model.number, records);
  const restoring = new Set(damagedOf(db, model.number));
  const outgoing: Outgoing[] = [];
  const absent: string[] = [];
  for (const record of records) {
    if (restoring.has(record)) continue;
    const parked = prepared(db, "SELECT kind FROM tidemark_parked WHERE model = ? AND record = ?")
      .pluck()
      .get(model.number, record) as string | undefined;
    const present = rows.has(record) || (parked !== undefined && parked !== "dead");
    if (!present && !logged.has(record)) absent.push(record);
    else outgoing.push({ model: model.number, record, state: stateOf(logged.get(record), present), full: present });
  }
  return { records: encodeRecords(db, outgoing, deps), absent, floor };
}

/** Totals for progress: rows and parked records, by wire name. */
export function backfillTotals(
  db: Sqlite,
  registry: SyncRegistry,
  count: (model: SyncModel) => number,
): Record<string, number> {
  const totals: Record<string, number> = {};
  for (const model of registry.models) totals[model.name] = count(model);
  const parked = prepared(
    db,
    "SELECT m.name AS name, count(*) AS n FROM tidemark_parked p JOIN tidemark_model m ON m.num = p.model GROUP BY p.model",
  ).all() as { name: string; n: number }[];
  for (const { name, n } of parked) totals[name] = (totals[name] ?? 0) + n;
  return totals;
}

function loggedIdentities(
  db: Sqlite,
  model: number,
  after: string | null,
  upTo: string | null,
  limit: number,
): string[] {
  return prepared(
    db,
    "SELECT DISTINCT record FROM tidemark_stamp WHERE model = ? AND record > ? AND record <= ifnull(?, x'') ORDER BY record LIMIT ?",
  )
    .pluck()
    .all(model, after ?? "", upTo, limit) as string[];
}

function numberOf(db: Sqlite, name: string): number | null {
  const number = prepared(db, "SELECT num FROM tidemark_model WHERE name = ?").pluck().get(name) as number | undefined;
  return number ?? null;
}
