import { isIdentity } from "../registry/identity-form.js";
import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "./database.js";
import { foldName, quoteName } from "./identifiers.js";
import { prepared } from "./statements.js";

/**
 * Rows that no peer knows of and that refer to a synced row by a foreign key without an action: of tables that are not
 * synced, and of synced ones where the identity is none that can travel. With constraints deferred, SQLite would refuse to
 * let go of the synced row at the COMMIT, when nothing can be put aside any more; so it is asked before.
 */
export class OutsideReferences {
  readonly #db: Sqlite;
  readonly #checks = new Map<SyncModel, readonly Check[]>();
  #schemaVersion = -1;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  /** Why the row with this local key can't be removed; null if nothing is known to keep it. */
  keeping(model: SyncModel, key: number | bigint | string): string | null {
    const bound = typeof key === "number" ? BigInt(key) : key;
    for (const { table, sql, anyRow } of this.#of(model)) {
      const identities = prepared(this.#db, sql).pluck().all(bound) as unknown[];
      const keeps = anyRow ? identities.length > 0 : !identities.every(isIdentity);
      if (keeps) return `FOREIGN KEY constraint failed: a row of "${table}" that is not synced refers to it`;
    }
    return null;
  }

  #of(model: SyncModel): readonly Check[] {
    const version = prepared(this.#db, "PRAGMA schema_version").pluck().get() as number;
    if (version !== this.#schemaVersion) {
      this.#schemaVersion = version;
      this.#checks.clear();
    }
    let checks = this.#checks.get(model);
    if (checks === undefined) {
      checks = checksOf(this.#db, model);
      this.#checks.set(model, checks);
    }
    return checks;
  }
}

interface Check {
  readonly table: string;
  readonly sql: string;
  /** Every row keeps the target; otherwise those with an unfit identity do. */
  readonly anyRow: boolean;
}

interface KeyPart {
  readonly id: number;
  readonly target: string;
  readonly from: string;
  readonly to: string | null;
  readonly action: string;
}

function checksOf(db: Sqlite, model: SyncModel): readonly Check[] {
  // Nothing refers to a record whose identity is derived.
  if (model.localKey === null) return [];
  const tables = db.prepare("SELECT name FROM main.sqlite_master WHERE type = 'table'").pluck().all() as string[];
  const partsOf = db.prepare(
    'SELECT id, "table" AS target, "from", "to", on_delete AS action FROM pragma_foreign_key_list(?) ORDER BY id, seq',
  );
  const primaryKey = db
    .prepare("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk")
    .pluck()
    .all(model.table) as string[];
  const checks: Check[] = [];
  for (const table of tables) {
    const keys = new Map<number, KeyPart[]>();
    for (const part of partsOf.all(table) as KeyPart[]) {
      if (foldName(part.target) !== foldName(model.table) || part.action !== "NO ACTION") continue;
      keys.set(part.id, [...(keys.get(part.id) ?? []), part]);
    }
    for (const parts of keys.values()) {
      const synced = model.referencedBy.find(
        ({ model: child, column }) =>
          foldName(child.table) === foldName(table) &&
          parts.some(({ from }) => foldName(from) === foldName(column.column)),
      );
      // A junction is named by what it joins.
      if (synced !== undefined && synced.model.identity.kind === "derived") continue;
      const on = parts.map(
        ({ from, to }, index) => `c.${quoteName(from)} = p.${quoteName(to ?? primaryKey[index] ?? from)}`,
      );
      const identity = synced?.model.identity.kind === "column" ? `c.${quoteName(synced.model.identity.column)}` : "1";
      checks.push({
        table,
        anyRow: synced === undefined,
        sql: `SELECT ${identity} FROM main.${quoteName(model.table)} p CROSS JOIN main.${quoteName(table)} c ON ${on.join(" AND ")}
              WHERE p.${quoteName(model.localKey.column)} = ? ${synced === undefined ? "LIMIT 1" : ""}`,
      });
    }
  }
  return checks;
}
