import { affinityOf } from "../registry/affinity.js";
import type { SyncColumn, SyncIdentity, SyncModel, SyncReference, SyncRegistry, SyncTree } from "../registry/model.js";
import type { Sqlite } from "./database.js";

/**
 * For tests: models written down by hand over tables that exist, without TypeORM's metadata. What the schema can tell
 * (affinity, nullability, defaults) is read from it.
 */
export interface HandMadeModel {
  readonly table: string;
  readonly name?: string;
  /** The identity column, or the key columns of a derived identity. */
  readonly identity: string | readonly string[];
  /** The integer key; absent: the identity column is the key. */
  readonly localKey?: string;
  /** Synced columns in the order of their numbers. */
  readonly columns: readonly string[];
  /** Wire names that differ from the column. */
  readonly names?: Readonly<Record<string, string>>;
  /** Column → table that it refers to, by that table's local key, or `table.column`. */
  readonly references?: Readonly<Record<string, string>>;
  readonly tree?: (parent: SyncColumn) => SyncTree;
  /** The reference column of the tree. */
  readonly parent?: string;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

export function handMadeRegistry(db: Sqlite, definitions: readonly HandMadeModel[]): SyncRegistry {
  const byTable = new Map<string, Writable<SyncModel>>();
  definitions.forEach((definition, index) => {
    byTable.set(definition.table, unlinked(db, definition, index + 1));
  });
  for (const definition of definitions) link(byTable, definition);
  const models: readonly SyncModel[] = [...byTable.values()];
  return {
    models,
    byName: new Map(models.map((model) => [model.name, model])),
    byNumber: new Map(models.map((model) => [model.number, model])),
    levels: [models],
    deviceModel: null,
  };
}

interface TableInfo {
  readonly name: string;
  readonly type: string;
  readonly notnull: number;
  readonly dflt_value: string | null;
}

function unlinked(db: Sqlite, definition: HandMadeModel, number: number): Writable<SyncModel> {
  const infos = db.prepare("SELECT * FROM pragma_table_xinfo(?)").all(definition.table) as TableInfo[];
  const columns = definition.columns.map((column, index): SyncColumn => {
    const info = infos.find((it) => it.name === column);
    if (info === undefined) throw new Error(`${definition.table} has no column ${column}`);
    return {
      number: index + 1,
      name: definition.names?.[column] ?? column,
      column,
      affinity: affinityOf({ declaredType: info.type, strict: false }),
      nullable: info.notnull === 0,
      defaultSql: info.dflt_value ?? "NULL",
      reference: null,
    };
  });
  const { identity, localKey } = definition;
  return {
    number,
    name: definition.name ?? definition.table,
    table: definition.table,
    identity: typeof identity === "string" ? { kind: "column", column: identity } : { kind: "derived", columns: [] },
    localKey:
      typeof identity !== "string"
        ? null
        : localKey === undefined
          ? { column: identity, kind: "identity" }
          : { column: localKey, kind: "integer" },
    ownership: { kind: "shared" },
    isDevice: false,
    columns,
    columnByName: new Map(columns.map((column) => [column.name, column])),
    columnByNumber: new Map(columns.map((column) => [column.number, column])),
    references: [],
    referencedBy: [],
    uniqueKeys: [],
    level: 0,
    tree: null,
    afterBackfill: null,
  };
}

function link(byTable: ReadonlyMap<string, Writable<SyncModel>>, definition: HandMadeModel): void {
  const model = byTable.get(definition.table)!;
  for (const [name, to] of Object.entries(definition.references ?? {})) {
    const [table, column] = to.split(".") as [string, string | undefined];
    const target = byTable.get(table)!;
    const targetColumn = column ?? target.localKey!.column;
    const referring = model.columns.find((it) => it.column === name) as Writable<SyncColumn>;
    referring.reference = {
      target,
      targetColumn,
      byIdentity: target.identity.kind === "column" && target.identity.column === targetColumn,
      required: !referring.nullable,
    } satisfies SyncReference;
  }
  model.references = model.columns.filter((column) => column.reference !== null);
  const columnOf = (name: string) => model.columns.find((it) => it.column === name)!;
  if (typeof definition.identity !== "string") {
    model.identity = { kind: "derived", columns: definition.identity.map(columnOf) } satisfies SyncIdentity;
  }
  if (definition.tree && definition.parent) model.tree = definition.tree(columnOf(definition.parent));
}
