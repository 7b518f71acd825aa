import type { SyncColumn, SyncModel } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { quoteName } from "../storage/identifiers.js";
import { BORN, DIED, type OutboxEntry, type PendingDeaths } from "../storage/outbox.js";
import { derivedIdentityAt, type JoinedKeys } from "../storage/owners.js";
import { prepared } from "../storage/statements.js";
import { type RecordState, UNKNOWN } from "./record-state.js";

/**
 * A junction is named by what it joins. When a row that it joins takes another identity, or another row its key, it is
 * another record from then on, and nobody says so: its own row is the same. So what it was called until then has to end
 * here, whether the row is still there or has gone later in the same outbox.
 */
export interface FormerName {
  readonly model: SyncModel;
  /** What a row of the junction was called until then. */
  readonly record: string;
  /** Whether the joined row had its name for a while of these changes only: nobody may have heard of the junction. */
  readonly passing: boolean;
  /** Whether the joined row keeps its name in the end, because it is somebody else's. */
  readonly refused: boolean;
}

interface Change {
  readonly entry: OutboxEntry;
  readonly folding: {
    readonly model: SyncModel;
    readonly record: string;
    /** What was known of it before these changes. */
    readonly before: RecordState;
    /** Changes of a record that somebody else owns are taken back. */
    readonly refused: string | null;
  };
}

/** A row with a key that is another record's later on. */
interface Replaced {
  readonly model: SyncModel;
  readonly key: number;
  readonly record: string;
  readonly passing: boolean;
  readonly refused: boolean;
  /** Where it ended. */
  readonly seq: number;
}

/** All names that end with the changes of one slice, of which each may come more than once. */
export function formerNames(db: Sqlite, changes: readonly Change[], deaths: PendingDeaths): readonly FormerName[] {
  const former: FormerName[] = [];
  const told = new JunctionEntries(db, changes[0]?.entry.seq ?? 0);
  for (const replaced of replacedRows(changes)) {
    for (const { model, column } of replaced.model.referencedBy) {
      if (model.identity.kind !== "derived" || column.reference!.byIdentity) continue;
      const { columns } = model.identity;
      const at = columns.indexOf(column);
      if (at < 0) continue;
      for (const keys of rowsUntil(db, model, columns, at, replaced, told)) {
        const record = derivedIdentityAt({ db, deaths, columns, keys, after: replaced.seq, known: replaced });
        if (record !== null) former.push({ model, record, passing: replaced.passing, refused: replaced.refused });
      }
    }
  }
  return former;
}

function replacedRows(changes: readonly Change[]): readonly Replaced[] {
  const gone = new Map<string, Replaced[]>();
  const replaced: Replaced[] = [];
  for (const { entry, folding } of changes) {
    const { model, record, before, refused } = folding;
    if (entry.key === null || entry.mask >= 0 || !model.referencedBy.some(isJunction)) continue;
    const place = `${model.number} ${entry.key}`;
    if (entry.mask === BORN) {
      replaced.push(...(gone.get(place) ?? []).filter((row) => row.record !== record));
      gone.delete(place);
    } else {
      gone.set(place, [
        ...(gone.get(place) ?? []),
        { model, key: entry.key, record, passing: before === UNKNOWN, refused: refused !== null, seq: entry.seq },
      ]);
    }
  }
  return replaced;
}

function isJunction({ model }: { readonly model: SyncModel }): boolean {
  return model.identity.kind === "derived";
}

/** The rows that joined a row when it was replaced: those that are there and were not made since, and those that have gone since. */
function rowsUntil(
  db: Sqlite,
  model: SyncModel,
  columns: readonly SyncColumn[],
  at: number,
  { key, seq }: Replaced,
  told: JunctionEntries,
): readonly JoinedKeys[] {
  const first = new Map<string, { readonly keys: JoinedKeys; readonly mask: number }>();
  for (const entry of told.of(model, at, key)) {
    const name = JSON.stringify(entry.keys);
    if (entry.seq > seq && !first.has(name)) first.set(name, entry);
  }
  const names = columns.map(({ column }) => quoteName(column)).join(", ");
  const rows = prepared(
    db,
    `SELECT ${names} FROM ${quoteName(model.table)} WHERE ${quoteName(columns[at]!.column)} = ?`,
  )
    .raw(true)
    .all(BigInt(key)) as JoinedKeys[];
  return [
    ...rows.filter((keys) => !first.has(JSON.stringify(keys))),
    ...[...first.values()].filter(({ mask }) => mask === DIED).map(({ keys }) => keys),
  ];
}

/** What the outbox tells of rows of junctions that came and went, by what they joined. Read once per model. */
class JunctionEntries {
  readonly #db: Sqlite;
  readonly #from: number;
  readonly #entries = new Map<SyncModel, Map<string, JunctionEntry[]>>();

  constructor(db: Sqlite, from: number) {
    this.#db = db;
    this.#from = from;
  }

  of(model: SyncModel, at: number, key: number): readonly JunctionEntry[] {
    let entries = this.#entries.get(model);
    if (entries === undefined) {
      entries = this.#read(model);
      this.#entries.set(model, entries);
    }
    return entries.get(`${at} ${key}`) ?? [];
  }

  #read(model: SyncModel): Map<string, JunctionEntry[]> {
    const rows = prepared(
      this.#db,
      `SELECT seq, record, mask FROM tidemark_outbox
       WHERE seq >= ? AND model = ? AND mask IN (${BORN}, ${DIED}) ORDER BY seq`,
    )
      .raw()
      .all(this.#from, model.number) as [seq: number, record: string, mask: number][];
    const entries = new Map<string, JunctionEntry[]>();
    for (const [seq, record, mask] of rows) {
      const keys = JSON.parse(record) as JoinedKeys;
      keys.forEach((key, at) => {
        const place = `${at} ${key}`;
        const list = entries.get(place);
        if (list === undefined) entries.set(place, [{ seq, keys, mask }]);
        else list.push({ seq, keys, mask });
      });
    }
    return entries;
  }
}

interface JunctionEntry {
  readonly seq: number;
  readonly keys: JoinedKeys;
  readonly mask: number;
}
