/**
 * A TypeORM entity: its class, its name, or its `EntitySchema`. An arrow function is called for one of these once the data
 * source is open, so that modules that import each other can write `() => Entry`.
 */
export type EntityTarget =
  | (abstract new (
      ...args: never[]
    ) => object)
  | (() => unknown)
  | string
  | { readonly options: { readonly name: string } };

/** Who may change a record. */
export type Ownership =
  /** Anybody; each column carries its own stamp, so that edits of different columns both survive. */
  | { readonly kind: "shared" }
  /**
   * Only the device at the end of `owner`, a path of relation properties such as `"location.volume.device"` that ends at
   * an entity registered with `isDevice`; `""` for that entity itself. One stamp a record; the last state of the owner
   * stands.
   */
  | { readonly kind: "device"; readonly owner: string };

/** A reference that TypeORM does not know of as a relation. */
export interface ReferenceDeclaration {
  /** The entity that the column refers to, by its local primary key (or its uuid primary key). */
  readonly to: EntityTarget;
}

/** What is said of an entity to have it synced. */
export interface EntityOptions {
  readonly ownership: Ownership;
  /**
   * The name of the model on the wire, the same on every device and in every version of the application. Default: the
   * entity's name. Set it to the old name when the class is renamed.
   */
  readonly name?: string;
  /**
   * The property that holds the identity: a `uuid` column beside a local integer key, or a uuid primary key. Default:
   * the primary key if it is text, else the property called `uuid`. Must be text, unique and not nullable. A model whose
   * primary key consists of required references alone (a junction) needs none: unless this option names one, its identity
   * is derived from them, so that two devices that join the same records mean the same junction.
   */
  readonly identity?: string;
  /** References by property that no relation declares, e.g. `{ parentId: { to: Entry } }`. */
  readonly references?: Readonly<Record<string, ReferenceDeclaration>>;
  /** Properties that stay on this device: neither sent, nor overwritten. Must be nullable or have a default. */
  readonly exclude?: readonly string[];
  /**
   * Wire names of properties that were renamed, e.g. `{ title: "name" }`. Default: the property's own path; for a column
   * that a relation joins by, the path of the relation, also when the column has a property of its own. A column that no
   * property stands for goes by its own name. The owning side's property of a many-to-many relation names its junction.
   */
  readonly wireNames?: Readonly<Record<string, string>>;
  /** True for the one model whose identities are device ids, at which owner paths end. */
  readonly isDevice?: boolean;
  /** Called after a backfill has been applied and committed, to rebuild what is derived from this model (a search index). */
  readonly afterBackfill?: () => void | Promise<void>;
}

/** One registered entity. */
export interface EntityDeclaration extends EntityOptions {
  readonly entity: EntityTarget;
}

/** Where a plugin contributes the entities that it brings. Only possible during `activate`. */
export interface EntityContributions {
  register(entity: EntityTarget, options: EntityOptions): void;
}
