import { registryErrors } from "./errors.js";
import type { PlannedIdentity } from "./identity.js";
import { columnOfProperty } from "./properties.js";
import { manyToManyOf, namedProperty, type RegisteredTable } from "./registered-table.js";

/**
 * Which columns are synced, and their names on the wire, by name in the table and in the table's order: those of the
 * properties, unless `wireNames` says otherwise. Every name is given once.
 */
export function planColumnNames({
  table,
  excluded,
  identity,
}: {
  readonly table: RegisteredTable;
  readonly excluded: ReadonlySet<string>;
  readonly identity: PlannedIdentity;
}): ReadonlyMap<string, string> {
  const { entity, shape, properties } = table;
  const names = new Map<string, string>();
  for (const { name: column } of shape.columns) {
    if (whyUnsynced(column) === null) names.set(column, properties.pathByColumn.get(column)!);
  }
  for (const [property, name] of Object.entries(table.declaration.wireNames ?? {})) {
    // The name of a many-to-many relation belongs to its junction table; see junctions.ts.
    if (manyToManyOf(table).get(property)?.isManyToManyOwner) continue;
    const option = "wireNames";
    const column = columnOfProperty(namedProperty(table, option, property));
    const why = whyUnsynced(column);
    if (why !== null) throw registryErrors.unsyncedProperty({ entity, option, property, why });
    names.set(column, name);
  }
  const columnByName = new Map<string, string>();
  for (const [column, name] of names) {
    const other = columnByName.get(name);
    if (other !== undefined) throw registryErrors.doubledColumnName({ entity, name, columns: [other, column] });
    columnByName.set(name, column);
  }
  return names;

  function whyUnsynced(column: string): string | null {
    if (excluded.has(column)) return "it stays on this device, because it is excluded or derived from a tree";
    if (identity.kind === "derived") return null;
    if (identity.column === column) return "it is the identity, which has no name on the wire";
    return identity.localKey.column === column ? "it is the local key, which never leaves the device" : null;
  }
}
