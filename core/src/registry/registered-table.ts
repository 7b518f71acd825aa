import type { EntityDeclaration } from "@tidemark/plugin-api";
import type { DataSource, EntityMetadata, RelationMetadata } from "typeorm";
import type { Sqlite } from "../storage/database.js";
import { findEntity } from "./entity-target.js";
import { registryErrors } from "./errors.js";
import { columnsOfProperty, type NamedProperty, readProperties, type TableProperties } from "./properties.js";
import { readTableShape, type TableShape } from "./table-shape.js";

/** A declaration together with the table that it means: what the further steps of the resolution work on. */
export interface RegisteredTable {
  readonly declaration: EntityDeclaration;
  /** The entity's name, for messages; that of the root with single-table inheritance. */
  readonly entity: string;
  /** The name of the entity that was registered: perhaps a child's. */
  readonly registered: string;
  /** The model's name on the wire. */
  readonly name: string;
  /** The entity that the table belongs to: with single-table inheritance the root. */
  readonly root: EntityMetadata;
  /** All entities that are stored in the table, the root first. */
  readonly metadatas: readonly EntityMetadata[];
  readonly shape: TableShape;
  readonly properties: TableProperties;
}

/** Registered tables by TypeORM's table path: how the metadata of a relation's target finds its table. */
export type RegisteredTables = ReadonlyMap<string, RegisteredTable>;

/** Finds the entity and the table of one declaration. Throws when it is unknown, or not a table of this database. */
export function registerTable({
  dataSource,
  db,
  declaration,
}: {
  readonly dataSource: DataSource;
  readonly db: Sqlite;
  readonly declaration: EntityDeclaration;
}): RegisteredTable {
  const metadata = findEntity({ dataSource, entity: declaration.entity, from: "The registration" });
  const { tablePath } = metadata;
  const entity = metadata.name;
  if (metadata.tableType === "view") throw registryErrors.notATable({ entity, kind: "a view" });
  // TypeORM puts the name of an attached database before the table's.
  if (tablePath !== metadata.tableName) {
    throw registryErrors.otherDatabase({ entity, database: metadata.database ?? tablePath });
  }
  if (/^tidemark_/i.test(metadata.tableName)) throw registryErrors.reservedTable({ entity, table: metadata.tableName });

  const shape = readTableShape({ db, table: metadata.tableName, entity });
  const root = rootOf(metadata);
  const metadatas = dataSource.entityMetadatas
    .filter(
      (other) => other.tablePath === tablePath && other.tableType !== "view" && other.tableType !== "closure-junction",
    )
    .sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
  return {
    declaration,
    entity: root.name,
    registered: entity,
    name: declaration.name ?? root.name,
    root,
    metadatas,
    shape,
    properties: readProperties({ metadatas, shape }),
  };

  /** The root names the columns, then its children, then whoever else maps the table; data sources list them in any order. */
  function rank(other: EntityMetadata): number {
    if (other === root) return 0;
    return other.tableType === "entity-child" ? 1 : other.tableType === "junction" ? 3 : 2;
  }
}

function rootOf(metadata: EntityMetadata): EntityMetadata {
  return metadata.tableType === "entity-child" ? rootOf(metadata.parentEntityMetadata) : metadata;
}

/** How a step names the property of a table that stands in an option. */
export function namedProperty(table: RegisteredTable, option: string, property: string): NamedProperty {
  const { entity, properties, shape } = table;
  return { entity, option, property, properties, shape };
}

/** What `exclude` names: columns, and many-to-many relations whose junction table is to stay on the device. */
export interface Exclusions {
  /** The property that was named, by column. */
  readonly columns: ReadonlyMap<string, string>;
  readonly relations: ReadonlySet<string>;
}

/** Reads `exclude`. Whether its columns may be left out is checked once the identity is known. */
export function readExclusions(table: RegisteredTable): Exclusions {
  const columns = new Map<string, string>();
  const relations = new Set<string>();
  for (const property of table.declaration.exclude ?? []) {
    if (manyToManyOf(table).has(property)) relations.add(property);
    else
      for (const column of columnsOfProperty(namedProperty(table, "exclude", property))) columns.set(column, property);
  }
  return { columns, relations };
}

/** The many-to-many relations declared by the classes of a table, by property path. */
export function manyToManyOf(table: RegisteredTable): ReadonlyMap<string, RelationMetadata> {
  return new Map(
    table.metadatas.flatMap(({ manyToManyRelations }) =>
      manyToManyRelations.map((relation) => [relation.propertyPath, relation] as const),
    ),
  );
}
