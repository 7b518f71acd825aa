import type { EntityMetadata, RelationMetadata } from "typeorm";
import { foldName } from "../storage/identifiers.js";
import { registryErrors } from "./errors.js";
import { nearestOf } from "./nearest.js";
import type { TableShape } from "./table-shape.js";

/**
 * Which property stands for which column, over all entities that share a table: the classes of single-table
 * inheritance, and a junction table with the entity that people declare for it.
 */
export interface TableProperties {
  /** Columns by property path: one, but for relations that join by several and for paths that mean different columns. */
  readonly columnsByPath: ReadonlyMap<string, readonly string[]>;
  /** The property path that names a column on the wire unless an option says otherwise; the column's name if it has none. */
  readonly pathByColumn: ReadonlyMap<string, string>;
  /** Properties that have no column in this table: the other sides of relations, computed values. */
  readonly columnless: ReadonlySet<string>;
}

/** The two columns of a junction table, by the roles that TypeORM gives them: their own names differ between databases. */
export const JUNCTION_OWNER = "owner";
export const JUNCTION_INVERSE = "inverse";

/** Reads the properties of a table. `metadatas` in the order of precedence. */
export function readProperties({
  metadatas,
  shape,
}: {
  readonly metadatas: readonly EntityMetadata[];
  readonly shape: TableShape;
}): TableProperties {
  const columnsByPath = new Map<string, string[]>();
  const columnless = new Set<string>();
  const ofRelations = new Map<string, Set<string>>();
  const ofColumns = new Map<string, string>();

  for (const metadata of metadatas) {
    for (const relation of metadata.relations) {
      if (!holdsJoinColumns(relation)) {
        columnless.add(relation.propertyPath);
        continue;
      }
      for (const { databaseName } of relation.joinColumns) addRelation(metadata, relation.propertyPath, databaseName);
    }
    if (metadata.tableType === "junction") {
      for (const { databaseName } of metadata.ownerColumns) addColumn(metadata, JUNCTION_OWNER, databaseName);
      for (const { databaseName } of metadata.inverseColumns) addColumn(metadata, JUNCTION_INVERSE, databaseName);
      continue;
    }
    for (const column of metadata.columns) {
      if (column.isVirtualProperty) {
        columnless.add(column.propertyPath);
      } else if (!(column.isVirtual && column.relationMetadata)) {
        // A column that TypeORM made for a relation has no property besides the relation's.
        addColumn(metadata, column.propertyPath, column.databaseName);
      }
    }
  }
  const pathByColumn = new Map(
    shape.columns.map(({ name }) => {
      const [relation, ...others] = ofRelations.get(name) ?? [];
      // Several relations through one column have no claim to its name over each other.
      const path = others.length === 0 ? (relation ?? ofColumns.get(name)) : ofColumns.get(name);
      return [name, path ?? name] as const;
    }),
  );
  return { columnsByPath, pathByColumn, columnless };

  function addRelation(metadata: EntityMetadata, path: string, databaseName: string): void {
    const name = columnName(metadata, path, databaseName);
    add(path, name);
    const paths = ofRelations.get(name);
    if (paths === undefined) ofRelations.set(name, new Set([path]));
    else paths.add(path);
  }

  function addColumn(metadata: EntityMetadata, path: string, databaseName: string): void {
    const name = columnName(metadata, path, databaseName);
    add(path, name);
    if (!ofColumns.has(name)) ofColumns.set(name, path);
  }

  function add(path: string, column: string): void {
    const columns = columnsByPath.get(path);
    if (columns === undefined) columnsByPath.set(path, [column]);
    else if (!columns.includes(column)) columns.push(column);
  }

  /** The column's name as the database writes it. */
  function columnName(metadata: EntityMetadata, property: string, column: string): string {
    const folded = foldName(column);
    const found = shape.columnByName.get(folded)?.name;
    if (found !== undefined) return found;
    if (shape.generated.has(folded)) return column;
    throw registryErrors.missingColumn({ entity: metadata.name, table: shape.name, property, column });
  }
}

/** Whether a relation is stored in its own entity's table: many-to-one, or the owning side of one-to-one. */
export function holdsJoinColumns(relation: RelationMetadata): boolean {
  return relation.isManyToOne || relation.isOneToOneOwner;
}

/** A property that an option names, and where. */
export interface NamedProperty {
  readonly entity: string;
  readonly option: string;
  readonly property: string;
  readonly properties: TableProperties;
  readonly shape: TableShape;
}

/** The columns that a named property stands for: by its path, by that of an embedded object, or by the column's name. */
export function columnsOfProperty({ entity, option, property, properties, shape }: NamedProperty): readonly string[] {
  const exact = properties.columnsByPath.get(property);
  if (exact !== undefined) return exact;
  const embedded = [...properties.columnsByPath].filter(([path]) => path.startsWith(`${property}.`));
  if (embedded.length > 0) return embedded.flatMap(([, columns]) => columns);
  const column = shape.columnByName.get(foldName(property));
  if (column !== undefined) return [column.name];
  if (properties.columnless.has(property)) throw registryErrors.propertyWithoutColumn({ entity, option, property });
  const nearest = nearestOf(property, [...properties.columnsByPath.keys(), ...properties.columnless]);
  throw registryErrors.unknownProperty({ entity, option, property, nearest });
}

/** The one column, with a value of its own, that a named property stands for. */
export function columnOfProperty(named: NamedProperty): string {
  const columns = columnsOfProperty(named);
  const { entity, option, property, shape } = named;
  if (columns.length > 1) throw registryErrors.ambiguousProperty({ entity, option, property, columns });
  const column = columns[0]!;
  if (shape.generated.has(foldName(column))) {
    throw registryErrors.unsyncedProperty({ entity, option, property, why: "the database computes its value" });
  }
  return column;
}
