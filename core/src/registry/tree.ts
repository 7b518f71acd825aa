import type { EntityMetadata } from "typeorm";
import { registryErrors } from "./errors.js";
import type { SyncColumn, SyncTree } from "./model.js";
import type { RegisteredTable } from "./registered-table.js";
import { nameInTable } from "./table-shape.js";

/**
 * TypeORM's trees. Of a tree only the parents are synced; closure tables, paths and nested sets are made of local keys,
 * or of numbers that every insert moves, and are rebuilt on each device.
 */

/** The columns of a table that are derived from the parents: never synced, also when nobody excludes them. */
export function derivedTreeColumns(table: RegisteredTable): readonly string[] {
  const { materializedPathColumn, nestedSetLeftColumn, nestedSetRightColumn } = treeMetadata(table) ?? {};
  return [materializedPathColumn, nestedSetLeftColumn, nestedSetRightColumn].flatMap((column) =>
    column === undefined ? [] : nameInTable(table.shape, column.databaseName),
  );
}

/** The tree of a table, or null when it is none. `columns` are its synced columns by name in the table. */
export function resolveTree({
  table,
  columns,
}: {
  readonly table: RegisteredTable;
  readonly columns: ReadonlyMap<string, SyncColumn>;
}): SyncTree | null {
  const metadata = treeMetadata(table);
  if (metadata === undefined) return null;
  const [joinColumn] = metadata.treeParentRelation?.joinColumns ?? [];
  if (joinColumn === undefined) {
    throw registryErrors.treeWithoutParent({ entity: table.entity, why: "it declares no parent" });
  }
  const parent = columns.get(nameInTable(table.shape, joinColumn.databaseName));
  if (parent === undefined) {
    throw registryErrors.treeWithoutParent({ entity: table.entity, why: "its parent is excluded" });
  }
  const name = (column: { readonly databaseName: string } | undefined) =>
    nameInTable(table.shape, column!.databaseName);
  switch (metadata.treeType) {
    case "materialized-path":
      return Object.freeze({ kind: "materialized-path", parent, pathColumn: name(metadata.materializedPathColumn) });
    case "nested-set":
      return Object.freeze({
        kind: "nested-set",
        parent,
        leftColumn: name(metadata.nestedSetLeftColumn),
        rightColumn: name(metadata.nestedSetRightColumn),
      });
    case "closure-table": {
      const closure = metadata.closureJunctionTable;
      const level = closure.columns.find((column) => column.closureType === undefined);
      return Object.freeze({
        kind: "closure",
        parent,
        closureTable: closure.tableName,
        ancestorColumn: closure.ancestorColumns[0]!.databaseName,
        descendantColumn: closure.descendantColumns[0]!.databaseName,
        levelColumn: level?.databaseName ?? null,
      });
    }
    default:
      return null;
  }
}

/** The class of the table that declares the tree. */
function treeMetadata({ metadatas }: RegisteredTable): EntityMetadata | undefined {
  // In an adjacency list nothing is derived: the parent is a reference like any other.
  return metadatas.find(({ treeType }) => treeType !== undefined && treeType !== "adjacency-list");
}
