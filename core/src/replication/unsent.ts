import type { Sqlite } from "../storage/database.js";
import { loadLogged, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { type EncodeDeps, encodeRecords, type Outgoing } from "./encode-records.js";
import { isLiving, newestBirth, type RecordState, type Stamp, UNSTAMPED } from "./record-state.js";
import type { WireRecords } from "./wire-records.js";

/**
 * What a device had not got out under an origin that it has no more. It is put aside before everything else is forgotten,
 * as pages of one record each with their original stamps, and issued again once the library is here (`reissue.ts`).
 */
export interface UnsentRecord {
  readonly id: number;
  /** The part that was not got out. */
  readonly page: WireRecords;
  /** Whether the row is still in its table, and the library lacks it. */
  readonly kept: boolean;
}

/** Records encoded at once. */
const BATCH = 500;

/**
 * Puts aside what the log has above `entries`, which tell the last time of each origin that others have; of origins that
 * are not among them nothing is. The outbox must be empty in this transaction. The number of records.
 */
export function putAside(db: Sqlite, entries: ReadonlyMap<number, number>, deps: EncodeDeps): number {
  let count = 0;
  const insert = prepared(db, "INSERT INTO tidemark_unsent (hlc, model, record, born, page) VALUES (?, ?, ?, ?, ?)");
  for (const [model, records] of recordsAbove(db, entries)) {
    for (let from = 0; from < records.length; from += BATCH) {
      const parts = unsentParts(db, model, records.slice(from, from + BATCH), entries);
      const { origins, groups } = encodeRecords(db, parts, deps);
      for (const group of groups) {
        group.r.forEach((record, index) => {
          const { state, full } = parts[index]!;
          const page: WireRecords = { origins, groups: [{ ...group, r: [record] }] };
          insert.run(firstTime(state), model, record[0], full ? 1 : 0, JSON.stringify(page));
          count += 1;
        });
      }
    }
  }
  return count;
}

function recordsAbove(db: Sqlite, entries: ReadonlyMap<number, number>): Map<number, string[]> {
  const found = new Map<number, Set<string>>();
  for (const [origin, hlc] of entries) {
    const rows = prepared(db, "SELECT DISTINCT model, record FROM tidemark_stamp WHERE origin = ? AND hlc > ?").all(
      origin,
      hlc,
    ) as { model: number; record: string }[];
    for (const { model, record } of rows) {
      const records = found.get(model) ?? new Set();
      records.add(record);
      found.set(model, records);
    }
  }
  return new Map([...found].map(([model, records]) => [model, [...records]]));
}

function unsentParts(
  db: Sqlite,
  model: number,
  records: readonly string[],
  entries: ReadonlyMap<number, number>,
): Outgoing[] {
  const isUnsent = ({ hlc, origin }: Stamp) => hlc > (entries.get(origin) ?? Number.POSITIVE_INFINITY);
  const logged = loadLogged(db, model, records);
  const parts: Outgoing[] = [];
  for (const record of records) {
    const state = stateOf(logged.get(record), true);
    const birth = newestBirth(state);
    const born = isLiving(state) && isUnsent(birth);
    const death = !isLiving(state) && isUnsent(state.death) ? state.death : UNSTAMPED;
    const columns = new Map([...state.columns].filter(([, stamp]) => isUnsent(stamp)));
    // What is left was superseded by what others have.
    if (!born && death.hlc === 0 && columns.size === 0) continue;
    parts.push({ model, record, state: { births: born ? [birth] : [], death, columns }, full: born });
  }
  return parts;
}

function firstTime({ births, death, columns }: RecordState): number {
  const times = [...births, ...columns.values(), ...(death.hlc > 0 ? [death] : [])].map(({ hlc }) => hlc);
  return Math.min(...times);
}

/** The next records to be issued again, in the order in which they were made. */
export function nextUnsent(db: Sqlite, limit: number): readonly UnsentRecord[] {
  const rows = prepared(db, "SELECT id, page, kept FROM tidemark_unsent ORDER BY hlc, id LIMIT ?").all(limit) as {
    id: number;
    page: string;
    kept: number;
  }[];
  return rows.map(({ id, page, kept }) => ({ id, page: JSON.parse(page) as WireRecords, kept: kept === 1 }));
}

export function forgetUnsent(db: Sqlite, id: number): void {
  prepared(db, "DELETE FROM tidemark_unsent WHERE id = ?").run(id);
}

export function anyUnsent(db: Sqlite): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_unsent)").pluck().get() === 1;
}

/**
 * Whether a record that the library lacks is one that was made here and never got out: then its row is left in place until
 * it is issued again, so that what the application's own tables have on it stays.
 */
export function keepUnsent(db: Sqlite, model: number, record: string): boolean {
  const kept = prepared(db, "UPDATE tidemark_unsent SET kept = 1 WHERE model = ? AND record = ? AND born = 1");
  return kept.run(model, record).changes > 0;
}

/** Whether a record stays here, in its table or hidden, until it is issued again. */
export function isKeptUnsent(db: Sqlite, model: number, record: string): boolean {
  const kept = prepared(db, "SELECT 1 FROM tidemark_unsent WHERE model = ? AND record = ? AND kept = 1");
  return kept.get(model, record) !== undefined;
}
