/**
 * What the rest of the kernel knows of a synced model: the outcome of registration, resolved against TypeORM's metadata
 * and the tables as they are, validated and frozen. One model per table; single-table inheritance shares one.
 */

export type Affinity = "integer" | "text" | "real" | "numeric" | "none";

/** A synced column. The identity and the local key are not columns in this sense: they never change and are not stamped. */
export interface SyncColumn {
  /** Number within the model, from 1, stored in the database and never reused; bit `number - 1` of a capture mask. */
  readonly number: number;
  /** Name on the wire: the same on every device and in every version. */
  readonly name: string;
  /** Name in the table. */
  readonly column: string;
  /** Column affinity by SQLite's rules on the declared type; decides how a wire value is bound. */
  readonly affinity: Affinity;
  readonly nullable: boolean;
  /** What a row takes that says nothing of the column: an SQL expression, NULL where there is no default. */
  readonly defaultSql: string;
  readonly reference: SyncReference | null;
}

/** A column that refers to a record of another (or the same) model. On the wire its value is the target's identity. */
export interface SyncReference {
  readonly target: SyncModel;
  /** The column of the target table that the local value refers to: nearly always its primary key. */
  readonly targetColumn: string;
  /** True when `targetColumn` is the target's identity column, so that the local value is the identity itself. */
  readonly byIdentity: boolean;
  /** A reference is required when its column is NOT NULL. */
  readonly required: boolean;
}

export type SyncIdentity =
  /** A text column, unique and not nullable. */
  | { readonly kind: "column"; readonly column: string }
  /**
   * The primary key consists of required references alone (a junction). The identity is the targets' identities in the
   * order of `columns`, joined by `DERIVED_IDENTITY_SEPARATOR`: derived from the key, the same on all devices, and
   * reversible, which a hash would not be.
   */
  | { readonly kind: "derived"; readonly columns: readonly SyncColumn[] };

/** A blank: lower than every character of an identity, so that joined text sorts like the list of its parts. */
export const DERIVED_IDENTITY_SEPARATOR = " ";

/** One step of an owner path: the reference column to follow. The last step ends at the device model. */
export type OwnerPath = readonly SyncColumn[];

export type SyncOwnership =
  | { readonly kind: "shared" }
  /** `path` is empty for the device model itself. */
  | { readonly kind: "device"; readonly path: OwnerPath };

/** Derived columns or tables of a TypeORM tree, rebuilt after records have been applied, never sent. */
export type SyncTree =
  | {
      readonly kind: "closure";
      readonly parent: SyncColumn;
      readonly closureTable: string;
      readonly ancestorColumn: string;
      readonly descendantColumn: string;
      readonly levelColumn: string | null;
    }
  | { readonly kind: "materialized-path"; readonly parent: SyncColumn; readonly pathColumn: string }
  | {
      readonly kind: "nested-set";
      readonly parent: SyncColumn;
      readonly leftColumn: string;
      readonly rightColumn: string;
    };

export interface SyncModel {
  /** Stored in the database by wire name, never reused. */
  readonly number: number;
  /** Name on the wire. */
  readonly name: string;
  readonly table: string;
  readonly identity: SyncIdentity;
  /**
   * The column that other tables refer to and that finds a row fast: the integer primary key, or the identity column
   * when the primary key is the uuid. For a derived identity: null (rows are found by their key columns).
   */
  readonly localKey: { readonly column: string; readonly kind: "integer" | "identity" } | null;
  readonly ownership: SyncOwnership;
  readonly isDevice: boolean;
  /** All synced columns, in the order of their numbers. For a derived identity the key columns are among them. */
  readonly columns: readonly SyncColumn[];
  readonly columnByName: ReadonlyMap<string, SyncColumn>;
  readonly columnByNumber: ReadonlyMap<number, SyncColumn>;
  /** The columns that are references. */
  readonly references: readonly SyncColumn[];
  /** The other models' columns that refer to this one (this one's own included), for re-evaluation when it goes. */
  readonly referencedBy: readonly { readonly model: SyncModel; readonly column: SyncColumn }[];
  /** Sets of table columns that are unique, the local key included and the identity column excluded. */
  readonly uniqueKeys: readonly (readonly string[])[];
  /** Depth in the graph of references: 0 refers to nothing (self-references and cycles aside). */
  readonly level: number;
  readonly tree: SyncTree | null;
  readonly afterBackfill: (() => void | Promise<void>) | null;
}

/** Gives models and columns their stored numbers; the same name gets the same number for ever. */
export interface NumberAllocator {
  model(name: string): number;
  column(modelNumber: number, name: string): number;
}

/** All registered models. */
export interface SyncRegistry {
  readonly models: readonly SyncModel[];
  readonly byName: ReadonlyMap<string, SyncModel>;
  readonly byNumber: ReadonlyMap<number, SyncModel>;
  /** Models by level: those of one level may be loaded side by side, after those of the levels before. */
  readonly levels: readonly (readonly SyncModel[])[];
  readonly deviceModel: SyncModel | null;
}
