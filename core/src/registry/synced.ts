import type { EntityDeclaration, EntityOptions, EntityTarget } from "@tidemark/plugin-api";
import type { DataSource } from "typeorm";
import { registryErrors } from "./errors.js";

/** Where the decorator keeps its options: the same key for all copies of this package. */
const OPTIONS = Symbol.for("tidemark.synced");

/**
 * Registers a TypeORM entity for sync, beside `@Entity`; the same as an entry in `entities` of `createTidemark`. An entity
 * is registered once: both, or twice the decorator, is the error `TIDEMARK_REGISTRY_DOUBLED` at the start. With
 * single-table inheritance it stands on one class of the table and counts for all of them.
 *
 * @example
 * \@Entity()
 * \@Synced({ ownership: { kind: "device", owner: "volume.device" } })
 * class Entry {
 *   \@PrimaryGeneratedColumn() id!: number;
 *   \@Column({ type: "varchar", unique: true }) \@Generated("uuid") uuid!: string;
 *   \@ManyToOne(() => Volume) volume!: Volume;
 * }
 */
export function Synced(options: EntityOptions): ClassDecorator {
  return (target) => {
    if (Object.hasOwn(target, OPTIONS)) {
      throw registryErrors.doubled({ entity: target.name, first: BY_DECORATOR, second: BY_DECORATOR });
    }
    Object.defineProperty(target, OPTIONS, { value: options });
  };
}

/** How errors name the decorator as the place of a registration. */
export const BY_DECORATOR = "@Synced on the class";

/** The declarations made by {@link Synced} among the entities of an initialized data source. */
export function declarationsOf(dataSource: DataSource): readonly EntityDeclaration[] {
  if (!dataSource.isInitialized) throw registryErrors.dataSourceClosed();
  const declarations: EntityDeclaration[] = [];
  for (const { target } of dataSource.entityMetadatas) {
    // Own properties only: the class of a child inherits the static properties of its parent's.
    if (typeof target !== "function" || !Object.hasOwn(target, OPTIONS)) continue;
    const options = (target as { readonly [OPTIONS]?: EntityOptions })[OPTIONS]!;
    declarations.push({ ...options, entity: target as EntityTarget });
  }
  return declarations;
}
