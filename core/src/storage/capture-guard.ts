import { dropTriggers, replaceTriggers } from "./capture.js";
import { adaptPlan, type CapturePlan } from "./capture-plan.js";
import {
  type FoundTrigger,
  hasCaptureTable,
  readCaptureTriggers,
  readStoredCaptures,
  type StoredCapture,
  writeStoredCaptures,
} from "./capture-store.js";
import { captureTriggers } from "./capture-triggers.js";
import type { Sqlite } from "./database.js";
import { storageErrors } from "./errors.js";
import { foldName, quoteName } from "./identifiers.js";
import type { SchemaGuard } from "./schema-guard.js";
import { readStatement, type SchemaStatement } from "./schema-statements.js";

/**
 * Keeps capture alive while the application changes its schema. TypeORM re-creates tables in migrations and in
 * `synchronize`, which drops their triggers without a word; the guard puts them back in the transaction that dropped
 * them. It works from `tidemark_capture` alone, because the application's models may not be registered yet, and it may
 * not touch a record.
 */
export const captureGuard: SchemaGuard = {
  beforeStatement(db, sql) {
    const statement = readStatement(sql);
    if (isSchemaChange(statement)) {
      if (!hasCaptureTable(db)) return;
      const changes = changesSoFar(db);
      settle(db, changes, "schema");
      prepareFor(db, statement, changes);
      changes.unsettled = true;
      return;
    }
    const changes = pendingOf.get(db);
    // A migration that re-creates a table and then changes its rows, in one transaction, is captured as well.
    if (changes?.unsettled || (changes?.refilling && statement.kind === "change")) {
      settle(db, changes, statement.kind === "change" ? "change" : "other");
    }
  },
  afterSchemaChange(db) {
    if (hasCaptureTable(db)) settle(db, changesSoFar(db), "commit");
    pendingOf.delete(db);
  },
};

/** What a transaction has done to the schema. */
interface SchemaChanges {
  /** `schema_version` before the first of them. */
  readonly version: number;
  readonly renamedColumns: { readonly table: string; readonly from: string; readonly to: string }[];
  /** Tables that were created under these names: if they are captured, the INSERTs that follow bring back old rows. */
  readonly refilled: Set<string>;
  /** The schema has changed since the triggers were last looked at. */
  unsettled: boolean;
  /** A captured table has been left without triggers for the moment. */
  refilling: boolean;
}

const pendingOf = new WeakMap<Sqlite, SchemaChanges>();

/** The changes of this transaction. Nobody tells of a rollback; it shows in the version, which goes back with it. */
function changesSoFar(db: Sqlite): SchemaChanges {
  const version = Number(db.pragma("schema_version", { simple: true }));
  let changes = pendingOf.get(db);
  if (changes === undefined || changes.version === version) {
    changes = { version, renamedColumns: [], refilled: new Set(), unsettled: false, refilling: false };
    pendingOf.set(db, changes);
  }
  return changes;
}

/** What is about to run: UPDATE or DELETE, a schema change, the COMMIT, or anything else. */
type Moment = "change" | "schema" | "commit" | "other";

function isSchemaChange({ kind }: SchemaStatement): boolean {
  return kind !== "change" && kind !== "other";
}

function prepareFor(db: Sqlite, statement: SchemaStatement, changes: SchemaChanges): void {
  switch (statement.kind) {
    case "drop-table":
      refuseCascadingDrop(db, statement.table);
      changes.refilled.delete(foldName(statement.table));
      break;
    case "create-table":
      if (!readTables(db).has(foldName(statement.table))) changes.refilled.add(foldName(statement.table));
      break;
    case "drop-column":
      // SQLite refuses while a trigger names the column; settling puts back those that don't.
      for (const triggers of readCaptureTriggers(db).values()) {
        dropTriggers(
          db,
          triggers.filter(({ table }) => sameName(table, statement.table)),
        );
      }
      break;
    case "rename-column":
      changes.renamedColumns.push(statement);
      break;
  }
}

/** Makes the triggers fit the schema as it is now. */
function settle(db: Sqlite, changes: SchemaChanges, moment: Moment): void {
  changes.unsettled = false;
  changes.refilling = false;
  const found = readCaptureTriggers(db);
  const tables = readTables(db);
  const taken = new Map<string, number>();
  for (const [model, [trigger]] of found) if (trigger) taken.set(foldName(trigger.table), model);
  const settled: StoredCapture[] = [];
  for (const stored of readStoredCaptures(db)) {
    const triggers = found.get(stored.model) ?? [];
    const home = homeOf({ stored, triggers, tables, taken, moment });
    if (home !== undefined) {
      taken.set(foldName(home), stored.model);
      settled.push(settleModel({ db, stored, triggers, home, changes, moment }));
    } else if ((taken.get(foldName(stored.table)) ?? stored.model) === stored.model) {
      // The table is gone, perhaps for ever, perhaps until the next statement.
      settled.push(stored);
    }
  }
  writeStoredCaptures(db, settled);
}

/** The table that holds the model's rows now, or undefined if it is gone. */
function homeOf({
  stored,
  triggers,
  tables,
  taken,
  moment,
}: {
  readonly stored: StoredCapture;
  readonly triggers: readonly FoundTrigger[];
  readonly tables: ReadonlyMap<string, string>;
  readonly taken: ReadonlyMap<string, number>;
  readonly moment: Moment;
}): string | undefined {
  const free = (name: string | null) =>
    name !== null && (taken.get(foldName(name)) ?? stored.model) === stored.model
      ? tables.get(foldName(name))
      : undefined;
  const original = free(stored.renamedFrom);
  // Renamed away, and a new table took the name: until the commit the old one may still be the source of a copy.
  if (moment === "commit" && original !== undefined) return original;
  // The triggers follow their table when it is renamed.
  return triggers[0]?.table ?? free(stored.table) ?? original;
}

function settleModel({
  db,
  stored,
  triggers,
  home,
  changes,
  moment,
}: {
  readonly db: Sqlite;
  readonly stored: StoredCapture;
  readonly triggers: readonly FoundTrigger[];
  readonly home: string;
  readonly changes: SchemaChanges;
  readonly moment: Moment;
}): StoredCapture {
  const columns = columnsOf(db, home);
  const intended = followRenames({ ...stored.intended, table: home }, columns, changes);
  const plan = adaptPlan(intended, columns);
  if (plan === null) {
    // Without its identity no record can be named. The kernel finds the gap at its next start.
    dropTriggers(db, triggers);
    return stored;
  }
  // A table that was dropped and created anew is being filled with its old rows, which must not look like new records.
  // Who updates or deletes rows in it has done with that; at the commit everybody has.
  const refilling =
    triggers.length === 0 &&
    sameName(home, stored.table) &&
    changes.refilled.has(foldName(home)) &&
    moment !== "commit";
  if (refilling && (moment !== "change" || isEmpty(db, home))) {
    changes.refilling = true;
    return stored;
  }
  const wanted = captureTriggers(plan);
  replaceTriggers({ db, found: triggers, wanted });
  const origin = stored.renamedFrom ?? stored.table;
  return { ...plan, intended, triggers: wanted, renamedFrom: sameName(origin, home) ? null : origin };
}

function followRenames(intended: CapturePlan, columns: readonly string[], changes: SchemaChanges): CapturePlan {
  const present = new Set(columns.map(foldName));
  let plan = intended;
  for (const { table, from, to } of changes.renamedColumns) {
    // The statement may have failed or been rolled back: what counts is which of the two names the table has.
    if (!sameName(table, plan.table) || present.has(foldName(from)) || !present.has(foldName(to))) continue;
    const rename = (column: string) => (sameName(column, from) ? to : column);
    plan = {
      ...plan,
      identity:
        plan.identity.kind === "column"
          ? { ...plan.identity, column: rename(plan.identity.column) }
          : {
              ...plan.identity,
              columns: plan.identity.columns.map((column) => ({ ...column, column: rename(column.column) })),
            },
      key: plan.key === null ? null : rename(plan.key),
      hop: plan.hop === null ? null : rename(plan.hop),
      columns: plan.columns.map((column) => ({ ...column, column: rename(column.column) })),
      uniqueKeys: plan.uniqueKeys.map((key) => key.map(rename)),
    };
  }
  return plan;
}

/**
 * DROP TABLE with foreign keys on first deletes every row, and the actions of the tables that refer to it are captured:
 * the run-time re-creation of one table would delete the children in the whole library.
 */
function refuseCascadingDrop(db: Sqlite, table: string): void {
  if (Number(db.pragma("foreign_keys", { simple: true })) === 0) return;
  const tables = readTables(db);
  const dropped = tables.get(foldName(table));
  if (dropped === undefined || isEmpty(db, dropped)) return;
  const captured = new Set(readStoredCaptures(db).map((stored) => foldName(stored.table)));
  const affected = affectedByDelete(db, dropped, [...tables.values()]);
  const harmed = captured.has(foldName(dropped)) ? affected : affected.filter((name) => captured.has(foldName(name)));
  if (harmed.length > 0) throw storageErrors.captureUnsafeDrop({ table: dropped, affected: harmed });
}

/** The tables, itself perhaps among them, whose rows a foreign key action changes when rows of `table` are deleted. */
function affectedByDelete(db: Sqlite, table: string, tables: readonly string[]): readonly string[] {
  const keysOf = db.prepare('SELECT "table" AS target, on_delete AS action FROM pragma_foreign_key_list(?)');
  const references = tables.flatMap((from) =>
    (keysOf.all(from) as { readonly target: string; readonly action: string }[]).map((key) => ({ from, ...key })),
  );
  const affected = new Set<string>();
  const deleted = [table];
  for (const parent of deleted) {
    for (const { from, target, action } of references) {
      if (!sameName(target, parent) || action === "NO ACTION" || action === "RESTRICT") continue;
      if (action === "CASCADE" && !deleted.some((seen) => sameName(seen, from))) deleted.push(from);
      affected.add(from);
    }
  }
  return [...affected].sort();
}

function isEmpty(db: Sqlite, table: string): boolean {
  return db.prepare(`SELECT 1 FROM main.${quoteName(table)} LIMIT 1`).get() === undefined;
}

/** The ordinary tables by folded name. */
function readTables(db: Sqlite): ReadonlyMap<string, string> {
  const names = db.prepare("SELECT name FROM main.sqlite_master WHERE type = 'table'").pluck().all() as string[];
  return new Map(names.map((name) => [foldName(name), name]));
}

/** The columns that hold a value of their own; generated ones don't. */
function columnsOf(db: Sqlite, table: string): readonly string[] {
  return db.prepare("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0").pluck().all(table) as string[];
}

function sameName(one: string, other: string): boolean {
  return foldName(one) === foldName(other);
}
