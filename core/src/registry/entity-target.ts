import type { EntityTarget } from "@tidemark/plugin-api";
import type { DataSource, EntityMetadata } from "typeorm";
import { registryErrors } from "./errors.js";
import { nearestOf } from "./nearest.js";

/** From an entity as people write it (class, name, schema, arrow function) to TypeORM's metadata of it. */

/** The entity's name, for messages. */
export function nameOfEntity(entity: EntityTarget): string {
  if (typeof entity === "string") return entity;
  return typeof entity === "function" ? entity.name || "an entity" : entity.options.name;
}

/** Whether `value` can be an entity at all. */
export function isEntityTarget(value: unknown): value is EntityTarget {
  if (typeof value === "string") return value !== "";
  if (typeof value === "function") return true;
  const options =
    typeof value === "object" && value !== null ? (value as { readonly options?: unknown }).options : null;
  return typeof options === "object" && options !== null && typeof (options as { name?: unknown }).name === "string";
}

/**
 * The metadata of `entity`. Names are those of entities, never of tables, though TypeORM takes either.
 * `from` says who asks, for the message: `"The registration"`, `"references.parentId of Entry"`.
 */
export function findEntity({
  dataSource,
  entity,
  from,
}: {
  readonly dataSource: DataSource;
  readonly entity: EntityTarget;
  readonly from: string;
}): EntityMetadata {
  const target = called(entity);
  if (!isEntityTarget(target)) throw registryErrors.missingEntity({ from });
  const found = dataSource.entityMetadatas.filter((metadata) => isMetadataOf(metadata, target));
  const [metadata, ...others] = found;
  if (metadata === undefined) {
    const names = dataSource.entityMetadatas.filter(isRegistrable).map(({ name }) => name);
    const name = nameOfEntity(target);
    throw registryErrors.unknownEntity({ entity: name, nearest: nearestOf(name, names), from });
  }
  if (others.some(({ tablePath }) => tablePath !== metadata.tablePath)) {
    throw registryErrors.ambiguousEntity({ entity: metadata.name, tables: found.map(({ tableName }) => tableName) });
  }
  return metadata;
}

function isMetadataOf(metadata: EntityMetadata, target: EntityTarget): boolean {
  if (!isRegistrable(metadata)) return false;
  if (typeof target === "string") return metadata.name === target;
  if (typeof target === "function") return metadata.target === target;
  return metadata.name === target.options.name;
}

/** Closure tables are derived from their entity and have no meaning of their own. */
function isRegistrable({ tableType }: EntityMetadata): boolean {
  return tableType !== "closure-junction";
}

/** Only arrow functions and methods have no prototype; classes, old ones too, have one. */
function called(entity: EntityTarget): unknown {
  return typeof entity === "function" && entity.prototype === undefined ? (entity as () => unknown)() : entity;
}
