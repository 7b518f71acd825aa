import type { EntityMetadata } from "typeorm";

/** Tidemark's name of a table's model: that of the entity; of a junction, the owning entity and its relation. */
export function modelNameOf(metadata: EntityMetadata): string {
  if (!metadata.isJunction) return metadata.name;
  const relation = metadata.ownColumns
    .map((column) => column.referencedColumn?.entityMetadata)
    .flatMap((side) => side?.manyToManyRelations ?? [])
    .find((candidate) => candidate.isOwning && candidate.junctionEntityMetadata === metadata);
  return relation ? `${relation.entityMetadata.name}.${relation.propertyPath}` : metadata.tableName;
}
