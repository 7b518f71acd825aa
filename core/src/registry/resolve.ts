import type { EntityDeclaration } from "@tidemark/plugin-api";
import type { DataSource } from "typeorm";
import type { Sqlite } from "../storage/database.js";
import { foldName } from "../storage/identifiers.js";
import { planColumnNames } from "./column-names.js";
import { registryErrors } from "./errors.js";
import { type PlannedIdentity, planIdentity } from "./identity.js";
import { junctionDeclarations } from "./junctions.js";
import type { NumberAllocator, SyncRegistry } from "./model.js";
import { buildModels, type TablePlan } from "./models.js";
import { type OwnerStep, resolveOwnerPath } from "./owner-path.js";
import { planReferences } from "./references.js";
import {
  type Exclusions,
  type RegisteredTable,
  type RegisteredTables,
  readExclusions,
  registerTable,
} from "./registered-table.js";
import { derivedTreeColumns } from "./tree.js";

/**
 * Resolves declarations against TypeORM's metadata and the tables as they are: validated, numbered, frozen. Runs once,
 * when the data source has opened. Reads the database and never writes to it, but for what `numbers` does.
 *
 * In order: tables, junction tables, exclusions, references, identities, names, owner paths; then models are made of them.
 * Everything that can't be synced throws a `TIDEMARK_REGISTRY_…` error that says what to write instead.
 */
export function resolveRegistry({
  dataSource,
  db,
  declarations,
  numbers,
}: {
  /** Initialized, and its tables up to date. */
  readonly dataSource: DataSource;
  /** A connection to the same database. */
  readonly db: Sqlite;
  readonly declarations: readonly EntityDeclaration[];
  readonly numbers: NumberAllocator;
}): SyncRegistry {
  if (!dataSource.isInitialized) throw registryErrors.dataSourceClosed();
  const tables = registerTables({ dataSource, db, declarations });

  const byPath: RegisteredTables = new Map([...tables.keys()].map((table) => [table.root.tablePath, table]));

  const plans = new Map<RegisteredTable, TablePlan>();
  for (const [table, exclusions] of tables) {
    const excluded = new Set([...exclusions.columns.keys(), ...derivedTreeColumns(table)]);
    const references = planReferences({ table, tables: byPath, excluded, dataSource });
    const identity = planIdentity({ db, table, references });
    checkExclusions({ table, exclusions, identity });
    const columnNames = planColumnNames({ table, excluded, identity });
    plans.set(table, { excluded, references, identity, columnNames });
  }
  for (const table of plans.keys()) checkTargets(table, plans);

  const device = deviceTable(plans);
  const referencesOf = (table: RegisteredTable) => plans.get(table)!.references;
  const ownerSteps = new Map<RegisteredTable, readonly OwnerStep[]>();
  for (const table of plans.keys()) {
    const { ownership } = table.declaration;
    if (ownership.kind === "device") {
      ownerSteps.set(table, resolveOwnerPath({ table, owner: ownership.owner, device, referencesOf }));
    }
  }
  return buildModels({ plans, ownerSteps, numbers });
}

/** The tables of all declarations and of the junctions between them, by their names on the wire, with what they exclude. */
function registerTables({
  dataSource,
  db,
  declarations,
}: {
  readonly dataSource: DataSource;
  readonly db: Sqlite;
  readonly declarations: readonly EntityDeclaration[];
}): ReadonlyMap<RegisteredTable, Exclusions> {
  const byPath = new Map<string, RegisteredTable>();
  const exclusions = new Map<RegisteredTable, Exclusions>();
  const add = (declaration: EntityDeclaration) => {
    const table = registerTable({ dataSource, db, declaration });
    const other = byPath.get(table.root.tablePath);
    if (other !== undefined) {
      const facts = { entity: table.registered, other: other.registered, table: table.shape.name };
      throw registryErrors.doubledTable(facts);
    }
    byPath.set(table.root.tablePath, table);
    exclusions.set(table, readExclusions(table));
  };
  declarations.forEach(add);
  junctionDeclarations({ tables: byPath, exclusionsOf: (table) => exclusions.get(table)! }).forEach(add);

  const byName = new Map<string, RegisteredTable>();
  for (const table of byPath.values()) {
    const { name, entity } = table;
    const other = byName.get(name);
    if (other !== undefined) throw registryErrors.doubledModelName({ name, entity, other: other.entity });
    byName.set(name, table);
  }
  // Sorted, so that numbers and levels do not depend on the order of registration.
  return new Map([...byName.keys()].sort().map((name) => [byName.get(name)!, exclusions.get(byName.get(name)!)!]));
}

/** Checks that a row from another device can be told and inserted without the excluded columns. */
function checkExclusions({
  table: { entity, shape },
  exclusions,
  identity,
}: {
  readonly table: RegisteredTable;
  readonly exclusions: Exclusions;
  readonly identity: PlannedIdentity;
}): void {
  for (const [column, property] of exclusions.columns) {
    const facts = { entity, property, column };
    const isKey = shape.primaryKey.some(({ name }) => name === column);
    if (isKey || (identity.kind === "column" && identity.column === column)) throw registryErrors.excludedKey(facts);
    const found = shape.columnByName.get(foldName(column));
    if (found && !found.nullable && !found.hasDefault) throw registryErrors.excludedRequired(facts);
  }
}

/** Checks that a reference's value finds one record on every device. */
function checkTargets(table: RegisteredTable, plans: ReadonlyMap<RegisteredTable, TablePlan>): void {
  const { entity } = table;
  for (const { property, target, targetColumn } of plans.get(table)!.references.values()) {
    const { identity, excluded } = plans.get(target)!;
    const facts = { entity, property, target: target.entity, targetColumn };
    if (identity.kind === "derived") throw registryErrors.targetDerived(facts);
    const folded = foldName(targetColumn);
    const isUnique = target.shape.uniqueIndexes.some(
      ({ columns }) => columns.length === 1 && foldName(columns[0]!) === folded,
    );
    if (!isUnique) throw registryErrors.referenceNotUnique({ ...facts, why: "which is not unique by itself" });
    if ([...excluded].some((name) => foldName(name) === folded)) {
      throw registryErrors.referenceNotUnique({
        ...facts,
        why: "which is excluded, and would be missing on other devices",
      });
    }
  }
}

function deviceTable(plans: ReadonlyMap<RegisteredTable, TablePlan>): RegisteredTable | null {
  const [device, other] = [...plans.keys()].filter(({ declaration }) => declaration.isDevice);
  if (device === undefined) return null;
  const { entity } = device;
  if (other !== undefined) throw registryErrors.twoDeviceModels({ entity, other: other.entity });
  if (plans.get(device)!.identity.kind === "derived") throw registryErrors.deviceWithoutIdentity({ entity });
  return device;
}
