import type { DataSource, EntityMetadata } from "typeorm";
import { foldName } from "../storage/identifiers.js";
import { findEntity } from "./entity-target.js";
import { registryErrors } from "./errors.js";
import { columnOfProperty, holdsJoinColumns, JUNCTION_INVERSE, JUNCTION_OWNER } from "./properties.js";
import { namedProperty, type RegisteredTable, type RegisteredTables } from "./registered-table.js";
import { nameInTable } from "./table-shape.js";

/** A column that refers to a record of a registered table. */
export interface PlannedReference {
  /** The property that declares it, for messages. */
  readonly property: string;
  readonly target: RegisteredTable;
  /** The column of the target's table whose value the referring column holds. */
  readonly targetColumn: string;
}

/** Planned references by the name of the referring column. */
export type PlannedReferences = ReadonlyMap<string, PlannedReference>;

/**
 * Finds the references of a table: from TypeORM's relations, and those declared by hand, which win where a column has
 * several. Excluded columns have none.
 */
export function planReferences({
  table,
  tables,
  excluded,
  dataSource,
}: {
  readonly table: RegisteredTable;
  readonly tables: RegisteredTables;
  readonly excluded: ReadonlySet<string>;
  readonly dataSource: DataSource;
}): PlannedReferences {
  const candidates = candidatesOf(table, excluded);
  const references = referencesByHand({ table, tables, excluded, candidates, dataSource });
  for (const [column, found] of candidates) {
    if (references.has(column)) continue;
    const [first, ...others] = found;
    if (others.length > 0) {
      throw registryErrors.referenceConflict({ entity: table.entity, column, declarations: found.map(describe) });
    }
    const { property, target, targetColumn } = first!;
    const registered = tables.get(target.tablePath);
    if (registered === undefined) {
      throw registryErrors.targetNotRegistered({ entity: table.entity, property, target: target.name });
    }
    references.set(column, { property, target: registered, targetColumn: nameInTable(registered.shape, targetColumn) });
  }
  checkForeignKeys({ table, references, excluded });
  return references;
}

/** What a relation says of a column, before it is known whether the target is registered. */
interface Candidate {
  readonly property: string;
  readonly target: EntityMetadata;
  readonly targetColumn: string;
}

function describe({ property, target, targetColumn }: Candidate): string {
  return `"${property}" to "${targetColumn}" of ${target.name}`;
}

/** What the relations of all classes in the table say, by column; saying the same twice counts once. */
function candidatesOf(
  table: RegisteredTable,
  excluded: ReadonlySet<string>,
): ReadonlyMap<string, readonly Candidate[]> {
  const candidates = new Map<string, Candidate[]>();
  for (const metadata of table.metadatas) {
    for (const { property, target, columns } of relationsOf(metadata)) {
      const names = columns.map(({ databaseName }) => nameInTable(table.shape, databaseName));
      if (names.every((name) => excluded.has(name))) continue;
      const column = names[0]!;
      if (names.length > 1) throw registryErrors.compositeReference({ entity: table.entity, property, columns: names });
      const candidate = { property, target, targetColumn: columns[0]!.referencedColumn!.databaseName };
      const known = candidates.get(column);
      if (known === undefined) candidates.set(column, [candidate]);
      else if (!known.some((other) => isSame(other, candidate))) known.push(candidate);
    }
  }
  return candidates;
}

function isSame(a: Candidate, b: Candidate): boolean {
  return a.target.tablePath === b.target.tablePath && foldName(a.targetColumn) === foldName(b.targetColumn);
}

/** The relations that an entity's own table stores; for a junction table its two sides. */
function relationsOf(metadata: EntityMetadata): readonly {
  readonly property: string;
  readonly target: EntityMetadata;
  readonly columns: EntityMetadata["columns"];
}[] {
  if (metadata.tableType === "junction") {
    return [
      { property: JUNCTION_OWNER, columns: metadata.ownerColumns },
      { property: JUNCTION_INVERSE, columns: metadata.inverseColumns },
    ].map(({ property, columns }) => ({ property, columns, target: columns[0]!.referencedColumn!.entityMetadata }));
  }
  return metadata.relations.filter(holdsJoinColumns).map((relation) => ({
    property: relation.propertyPath,
    target: relation.inverseEntityMetadata,
    columns: relation.joinColumns,
  }));
}

function referencesByHand({
  table,
  tables,
  excluded,
  candidates,
  dataSource,
}: {
  readonly table: RegisteredTable;
  readonly tables: RegisteredTables;
  readonly excluded: ReadonlySet<string>;
  readonly candidates: ReadonlyMap<string, readonly Candidate[]>;
  readonly dataSource: DataSource;
}): Map<string, PlannedReference> {
  const references = new Map<string, PlannedReference>();
  const { entity } = table;
  for (const [property, { to }] of Object.entries(table.declaration.references ?? {})) {
    const option = "references";
    const column = columnOfProperty(namedProperty(table, option, property));
    if (excluded.has(column)) {
      throw registryErrors.unsyncedProperty({
        entity,
        option,
        property,
        why: "it is excluded, and stays on this device",
      });
    }
    const metadata = findEntity({ dataSource, entity: to, from: `"references.${property}" of ${entity}` });
    const target = tables.get(metadata.tablePath);
    if (target === undefined) throw registryErrors.targetNotRegistered({ entity, property, target: metadata.name });
    const relations = candidates.get(column) ?? [];
    const relation = relations.find((candidate) => candidate.target.tablePath === metadata.tablePath);
    const before = references.get(column)?.target;
    if ((relation === undefined && relations.length > 0) || (before !== undefined && before !== target)) {
      const byHand = `"references.${property}" to ${target.entity}`;
      const others = before ? [`"references" to ${before.entity}`] : relations.map(describe);
      throw registryErrors.referenceConflict({ entity, column, declarations: [...others, byHand] });
    }
    references.set(column, {
      property,
      target,
      targetColumn: relation
        ? nameInTable(target.shape, relation.targetColumn)
        : primaryKeyOf({ entity, property, target }),
    });
  }
  return references;
}

function primaryKeyOf({
  entity,
  property,
  target,
}: {
  readonly entity: string;
  readonly property: string;
  readonly target: RegisteredTable;
}): string {
  const [key, ...others] = target.shape.primaryKey;
  if (key === undefined || others.length > 0) {
    throw registryErrors.compositeTarget({ entity, property, target: target.entity });
  }
  return key.name;
}

/**
 * Holds the foreign keys of the database against what is declared. One that is not declared would send local keys to
 * other devices, where they mean other records. Of a key over several columns one must be a reference to its table: the
 * others repeat a value that stands in the target too.
 */
function checkForeignKeys({
  table,
  references,
  excluded,
}: {
  readonly table: RegisteredTable;
  readonly references: PlannedReferences;
  readonly excluded: ReadonlySet<string>;
}): void {
  for (const foreignKey of table.shape.foreignKeys) {
    const columns = foreignKey.columns.map((name) => nameInTable(table.shape, name));
    if (columns.some((column) => excluded.has(column) || table.shape.generated.has(foldName(column)))) continue;
    const targets = columns.flatMap((column) => references.get(column)?.target ?? []);
    if (targets.some(({ shape }) => foldName(shape.name) === foldName(foreignKey.table))) continue;
    const facts = { entity: table.entity, column: columns[0]!, table: foreignKey.table };
    const [elsewhere] = targets;
    throw elsewhere === undefined
      ? registryErrors.undeclaredForeignKey(facts)
      : registryErrors.foreignKeyElsewhere({ ...facts, target: elsewhere.entity });
  }
}
