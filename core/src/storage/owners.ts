import type { SyncColumn, SyncModel } from "../registry/model.js";
import type { Sqlite } from "./database.js";
import type { OutboxEntry, PendingDeaths } from "./outbox.js";
import { quote } from "./row-writer.js";
import { prepared } from "./statements.js";

/**
 * Finds the device that owns a record, by following the owner path from the first reference on it. A target on the way
 * that has been deleted by a change that is still in the outbox is found there, as it was.
 */
export class OwnerFinder {
  readonly #db: Sqlite;
  readonly #deaths: PendingDeaths;
  readonly #found = new Map<string, string | null>();

  constructor(db: Sqlite, deaths: PendingDeaths) {
    this.#db = db;
    this.#deaths = deaths;
  }

  /** The owner's device id; null when the path leads nowhere (a NULL on the way), so that nobody owns the record. */
  ownerOf(model: SyncModel, entry: OutboxEntry): string | null {
    if (model.isDevice) return entry.record;
    if (model.ownership.kind !== "device") return null;
    return this.#follow(model.ownership.path, 0, entry.hop, entry.seq);
  }

  #follow(path: readonly SyncColumn[], step: number, value: number | string | null, after: number): string | null {
    if (value === null) return null;
    const { target, targetColumn, byIdentity } = path[step]!.reference!;
    const cacheKey = `${step} ${target.number} ${typeof value} ${value}`;
    const known = this.#found.get(cacheKey);
    if (known !== undefined) return known;
    const last = step === path.length - 1;
    const wanted = last ? identityColumn(target) : quote(path[step + 1]!.column);
    const row = prepared(
      this.#db,
      `SELECT ${wanted} AS next FROM ${quote(target.table)} WHERE ${quote(targetColumn)} = ?`,
    ).get(typeof value === "number" ? BigInt(value) : value) as { next: number | string | null } | undefined;
    let owner: string | null;
    if (row !== undefined) owner = last ? String(row.next) : this.#follow(path, step + 1, row.next, after);
    else {
      const death =
        byIdentity || typeof value === "string" ? undefined : this.#deaths.find(target.number, value, after);
      owner = death === undefined ? null : last ? death.record : this.#follow(path, step + 1, death.hop, death.seq);
    }
    this.#found.set(cacheKey, owner);
    return owner;
  }
}

/** The identity that a local key had when an outbox entry was written: a later death tells, else the row. */
export function identityAt({
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
    `SELECT ${identityColumn(target)} FROM ${quote(target.table)} WHERE ${quote(target.localKey!.column)} = ?`,
  )
    .pluck()
    .get(BigInt(key)) as string | undefined;
  return row ?? null;
}

function identityColumn(model: SyncModel): string {
  if (model.identity.kind !== "column") throw new TypeError(`${model.name} has no identity column`);
  return quote(model.identity.column);
}
