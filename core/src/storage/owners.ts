import type { SyncColumn, SyncModel } from "../registry/model.js";
import { anyDamaged, isDamaged } from "./damaged.js";
import type { Sqlite } from "./database.js";
import { quoteName } from "./identifiers.js";
import { BORN, type OutboxEntry, type PendingDeaths, readBehind } from "./outbox.js";
import { deriveIdentity } from "./row-writer.js";
import { prepared } from "./statements.js";

/**
 * Finds the device that owned a record when an outbox entry was written, by following the owner path from the first
 * reference on it. What later changes have made of a target on the way is undone: they are still in the outbox, with the
 * reference as it was before.
 */
export class OwnerFinder {
  readonly #db: Sqlite;
  readonly #deaths: PendingDeaths;
  readonly #moves: PendingMoves;
  readonly #restoring: boolean;
  readonly #found = new Map<string, string | null>();

  constructor(db: Sqlite, deaths: PendingDeaths, moves: PendingMoves) {
    this.#db = db;
    this.#deaths = deaths;
    this.#moves = moves;
    this.#restoring = anyDamaged(db);
  }

  /**
   * The owner's device id; null when the path leads nowhere (a NULL on the way), so that nobody owns the record;
   * {@link SOMEBODY_ELSE} where it can't be told whose it is, only that it is not this device's.
   */
  ownerOf(model: SyncModel, entry: OutboxEntry, record: string): string | null {
    // Its row is not what its owner says, and only a record of somebody else ever has to be restored.
    if (this.#isDamaged(model, record)) return SOMEBODY_ELSE;
    if (model.isDevice) return entry.record;
    if (model.ownership.kind !== "device") return null;
    return this.#follow(model.ownership.path, 0, entry.hop, entry.seq);
  }

  /** The same of a row as it is now, whatever the outbox says. */
  ownerOfRow(model: SyncModel, record: string): string | null {
    if (model.ownership.kind !== "device" || model.identity.kind !== "column") return null;
    const [first] = model.ownership.path;
    const hop =
      first === undefined
        ? null
        : (prepared(
            this.#db,
            `SELECT ${quoteName(first.column)} FROM ${quoteName(model.table)} WHERE ${quoteName(model.identity.column)} = ?`,
          )
            .pluck()
            .get(record) as OutboxEntry["hop"]);
    const entry = { seq: Number.MAX_SAFE_INTEGER, model: model.number, record, mask: 0, part: 0, key: null, hop };
    return this.ownerOf(model, entry, record);
  }

  #follow(path: readonly SyncColumn[], step: number, value: number | string | null, after: number): string | null {
    if (value === null) return null;
    const { target, targetColumn, byIdentity } = path[step]!.reference!;
    const last = step === path.length - 1;
    if (last && byIdentity) return String(value);
    const cacheKey = `${step} ${target.number} ${typeof value} ${value}`;
    // With moves in the outbox the answer depends on the time that is asked about.
    const known = this.#moves.isEmpty ? this.#found.get(cacheKey) : undefined;
    if (known !== undefined) return known;
    const identity = identityColumn(target);
    const row = prepared(
      this.#db,
      `SELECT ${identity} AS record, ${last ? "NULL" : quoteName(path[step + 1]!.column)} AS next
       FROM ${quoteName(target.table)} WHERE ${quoteName(targetColumn)} = ?`,
    ).get(typeof value === "number" ? BigInt(value) : value) as
      | { record: string; next: number | string | null }
      | undefined;
    let owner: string | null;
    if (row === undefined) {
      const death = this.#deaths.find(target.number, value, after);
      owner = death === undefined ? null : last ? death.record : this.#follow(path, step + 1, death.hop, after);
    } else if (last) owner = row.record;
    else if (this.#isDamaged(target, row.record)) owner = SOMEBODY_ELSE;
    else {
      const move = this.#moves.find(target.number, row.record, after);
      owner = this.#follow(path, step + 1, move === undefined ? row.next : move.hop, after);
    }
    this.#found.set(cacheKey, owner);
    return owner;
  }

  #isDamaged(model: SyncModel, record: string): boolean {
    return this.#restoring && isDamaged(this.#db, model.number, record);
  }
}

/** In place of a device id: whoever it is, it is not this device. No device id is empty. */
export const SOMEBODY_ELSE = "";

/** Changes of records that others are owned through, with the reference to the owner as it was before each of them. */
export class PendingMoves {
  readonly #moves = new Map<string, OutboxEntry[]>();

  /** `entries` are the beginning of the outbox, or all of it (`whole`). */
  constructor(db: Sqlite, models: readonly SyncModel[], entries: readonly OutboxEntry[], whole: boolean) {
    const onTheWay = new Set<number>();
    for (const { ownership } of models) {
      if (ownership.kind !== "device") continue;
      for (const column of ownership.path.slice(0, -1)) onTheWay.add(column.reference!.target.number);
    }
    const rest = whole || onTheWay.size === 0 ? [] : readBehind(db, entries.at(-1)?.seq ?? 0, [...onTheWay]);
    for (const entry of [...entries, ...rest]) {
      if (entry.mask === BORN || !onTheWay.has(entry.model)) continue;
      const key = `${entry.model} ${entry.record}`;
      const list = this.#moves.get(key);
      if (list === undefined) this.#moves.set(key, [entry]);
      else list.push(entry);
    }
  }

  get isEmpty(): boolean {
    return this.#moves.size === 0;
  }

  /** The first change behind `after` of a record. */
  find(model: number, record: string, after: number): OutboxEntry | undefined {
    return this.#moves.get(`${model} ${record}`)?.find((entry) => entry.seq > after);
  }
}

/** Local keys of what a junction joins, in the order of its identity. */
export type JoinedKeys = readonly (number | string | null)[];

/**
 * What a junction of these keys was called when an outbox entry was written; null when that can't be told any more because
 * something that it joined has vanished. `known`: the identity of a joined row that is known otherwise.
 */
export function derivedIdentityAt({
  db,
  deaths,
  columns,
  keys,
  after,
  known,
}: {
  readonly db: Sqlite;
  readonly deaths: PendingDeaths;
  readonly columns: readonly SyncColumn[];
  readonly keys: JoinedKeys;
  readonly after: number;
  readonly known?: { readonly model: SyncModel; readonly key: number; readonly record: string };
}): string | null {
  const targets: string[] = [];
  for (const [index, column] of columns.entries()) {
    const { target, byIdentity } = column.reference!;
    const key = keys[index] ?? null;
    if (key === null) return null;
    let identity: string | null;
    if (byIdentity || typeof key === "string") identity = String(key);
    else if (target === known?.model && key === known.key) identity = known.record;
    else identity = identityAt({ db, deaths, target, key, after });
    if (identity === null) return null;
    targets.push(identity);
  }
  return deriveIdentity(targets);
}

/** The identity that a local key had when an outbox entry was written: a later death tells, else the row. */
function identityAt({
  db,
  deaths,
  target,
  key,
  after,
}: {
  readonly db: Sqlite;
  readonly deaths: PendingDeaths;
  readonly target: SyncModel;
  readonly key: number;
  readonly after: number;
}): string | null {
  const death = deaths.find(target.number, key, after);
  if (death !== undefined) return death.record;
  const row = prepared(
    db,
    `SELECT ${identityColumn(target)} FROM ${quoteName(target.table)} WHERE ${quoteName(target.localKey!.column)} = ?`,
  )
    .pluck()
    .get(BigInt(key)) as string | undefined;
  return row ?? null;
}

function identityColumn(model: SyncModel): string {
  if (model.identity.kind !== "column") throw new TypeError(`${model.name} has no identity column`);
  return quoteName(model.identity.column);
}
