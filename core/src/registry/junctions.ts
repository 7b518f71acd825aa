import type { EntityDeclaration } from "@tidemark/plugin-api";
import { registryErrors } from "./errors.js";
import { type Exclusions, manyToManyOf, type RegisteredTable, type RegisteredTables } from "./registered-table.js";

/**
 * The junction tables of many-to-many relations: they come along when both sides are registered, unless either side
 * excludes the relation or somebody has registered the junction table itself.
 */
export function junctionDeclarations({
  tables,
  exclusionsOf,
}: {
  readonly tables: RegisteredTables;
  readonly exclusionsOf: (table: RegisteredTable) => Exclusions;
}): readonly EntityDeclaration[] {
  const declarations = new Map<string, EntityDeclaration>();
  for (const table of tables.values()) {
    for (const [property, relation] of manyToManyOf(table)) {
      if (exclusionsOf(table).relations.has(property)) continue;
      const other = tables.get(relation.inverseEntityMetadata.tablePath);
      const junction = relation.junctionEntityMetadata!;
      if (other === undefined) {
        if (tables.has(junction.tablePath)) continue;
        const target = relation.inverseEntityMetadata.name;
        throw registryErrors.targetNotRegistered({ entity: table.entity, property, target });
      }
      // The owning side names the junction, and meets every relation that the other side has.
      if (!relation.isManyToManyOwner || tables.has(junction.tablePath)) continue;
      const inverse = relation.inverseRelation?.propertyPath;
      if (inverse !== undefined && exclusionsOf(other).relations.has(inverse)) continue;
      const name = `${table.name}.${table.declaration.wireNames?.[property] ?? property}`;
      declarations.set(junction.tablePath, { entity: junction.name, name, ownership: { kind: "shared" } });
    }
  }
  return [...declarations.values()];
}
