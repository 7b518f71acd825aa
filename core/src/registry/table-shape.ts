import type { Sqlite } from "../storage/database.js";
import { foldName, quoteName } from "../storage/identifiers.js";
import { affinityOf } from "./affinity.js";
import { registryErrors } from "./errors.js";
import { frozenMap } from "./frozen-map.js";
import type { Affinity } from "./model.js";

/**
 * A table as it is in the database, read by pragmas. What TypeORM's metadata says of columns is not enough: a child of
 * single-table inheritance lacks its siblings' columns, and tables made by hand differ in collation and nullability.
 */
export interface TableShape {
  /** The name as the database writes it. */
  readonly name: string;
  /** The columns that hold values of their own, in the table's order: no generated ones. */
  readonly columns: readonly TableColumn[];
  /** The same, by {@link foldName folded} name. */
  readonly columnByName: ReadonlyMap<string, TableColumn>;
  /** Folded names of the generated columns. */
  readonly generated: ReadonlySet<string>;
  /** In the order of the key. */
  readonly primaryKey: readonly TableColumn[];
  /** The unique constraints that a write can clash with, in terms of columns: no partial ones, none on expressions. */
  readonly uniqueIndexes: readonly UniqueIndex[];
  readonly foreignKeys: readonly ForeignKey[];
}

export interface TableColumn {
  readonly name: string;
  readonly affinity: Affinity;
  readonly nullable: boolean;
  /** A default of NULL is none. */
  readonly hasDefault: boolean;
  /** The default as an SQL expression; NULL where there is none. */
  readonly defaultSql: string;
}

export interface UniqueIndex {
  readonly columns: readonly string[];
  /** Whether it compares all of its columns byte by byte. */
  readonly binary: boolean;
}

export interface ForeignKey {
  readonly columns: readonly string[];
  readonly table: string;
}

/** Reads the table called `table`. `entity` is for messages. Throws when it is not there, or not an ordinary table. */
export function readTableShape({
  db,
  table,
  entity,
}: {
  readonly db: Sqlite;
  readonly table: string;
  readonly entity: string;
}): TableShape {
  const entry = db
    .prepare("SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND lower(name) = lower(?)")
    .get(table) as TableListRow | undefined;
  if (entry === undefined) throw registryErrors.missingTable({ entity, table });
  if (entry.type !== "table") throw registryErrors.notATable({ entity, kind: `a ${entry.type} table` });

  const rows = db.prepare("SELECT * FROM pragma_table_xinfo(?)").all(entry.name) as TableInfoRow[];
  const indexes = db.prepare("SELECT * FROM pragma_index_list(?)").all(entry.name) as IndexListRow[];
  const keyRows = rows.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
  // The key is the rowid itself exactly when no index stands for it; then it can't be NULL, whatever the table says.
  const keyIsRowid = keyRows.length === 1 && entry.wr === 0 && indexes.every(({ origin }) => origin !== "pk");

  const columns = rows
    .filter(({ hidden }) => hidden === 0)
    .map((row) =>
      Object.freeze({
        name: row.name,
        affinity: affinityOf({ declaredType: row.type, strict: entry.strict === 1 }),
        nullable: row.notnull === 0 && !(keyIsRowid && row.pk > 0),
        hasDefault: row.dflt_value !== null && row.dflt_value.toUpperCase() !== "NULL",
        defaultSql: row.dflt_value ?? "NULL",
      }),
    );
  const columnByName = frozenMap(columns.map((column) => [foldName(column.name), column] as const));
  return Object.freeze({
    name: entry.name,
    columns: Object.freeze(columns),
    columnByName,
    generated: new Set(rows.filter(({ hidden }) => hidden !== 0).map(({ name }) => foldName(name))),
    primaryKey: Object.freeze(keyRows.map(({ name }) => columnByName.get(foldName(name))!)),
    uniqueIndexes: Object.freeze([
      ...(keyIsRowid ? [{ columns: [keyRows[0]!.name], binary: true }] : []),
      ...indexes.flatMap((index) => uniqueIndexOf(db, index)),
    ]),
    foreignKeys: Object.freeze(foreignKeysOf(db, entry.name)),
  });
}

/** A column's name as the database writes it; TypeORM may write it in other letters. */
export function nameInTable({ columnByName }: TableShape, column: string): string {
  return columnByName.get(foldName(column))?.name ?? column;
}

/**
 * Whether a column compares byte by byte. No pragma tells a column's collation, so two texts that only other collations
 * take for equal are compared as values of that column: a compound SELECT uses the collation of its first part.
 */
export function comparesBinary({
  db,
  table,
  column,
}: {
  readonly db: Sqlite;
  readonly table: string;
  readonly column: string;
}): boolean {
  const probes = ["a", "A", "a "];
  const distinct = db
    .prepare(
      `SELECT count(*) FROM (SELECT ${quoteName(column)} FROM ${quoteName(table)} WHERE 0${" UNION SELECT ?".repeat(probes.length)})`,
    )
    .pluck()
    .get(...probes);
  return distinct === probes.length;
}

function uniqueIndexOf(db: Sqlite, index: IndexListRow): readonly UniqueIndex[] {
  if (index.unique === 0 || index.partial === 1) return [];
  const parts = (db.prepare("SELECT * FROM pragma_index_xinfo(?)").all(index.name) as IndexInfoRow[]).filter(
    ({ key }) => key === 1,
  );
  const columns = parts.flatMap(({ name }) => name ?? []);
  if (columns.length !== parts.length) return [];
  return [{ columns, binary: parts.every(({ coll }) => coll.toUpperCase() === "BINARY") }];
}

function foreignKeysOf(db: Sqlite, table: string): ForeignKey[] {
  const rows = db.prepare("SELECT * FROM pragma_foreign_key_list(?) ORDER BY id, seq").all(table) as ForeignKeyRow[];
  const keys = new Map<number, { columns: string[]; table: string }>();
  for (const row of rows) {
    const key = keys.get(row.id);
    if (key === undefined) keys.set(row.id, { columns: [row.from], table: row.table });
    else key.columns.push(row.from);
  }
  return [...keys.values()];
}

interface TableListRow {
  readonly name: string;
  readonly type: string;
  /** 1 for WITHOUT ROWID. */
  readonly wr: number;
  readonly strict: number;
}

interface TableInfoRow {
  readonly name: string;
  readonly type: string;
  readonly notnull: number;
  readonly dflt_value: string | null;
  /** Position in the primary key from 1; 0 for other columns. */
  readonly pk: number;
  /** 0 for ordinary columns, 2 and 3 for generated ones. */
  readonly hidden: number;
}

interface IndexListRow {
  readonly name: string;
  readonly unique: number;
  /** `pk` for the index of a primary key. */
  readonly origin: string;
  readonly partial: number;
}

interface IndexInfoRow {
  /** NULL for an expression and for the rowid. */
  readonly name: string | null;
  readonly coll: string;
  /** 0 for the columns that an index only carries along. */
  readonly key: number;
}

interface ForeignKeyRow {
  readonly id: number;
  readonly from: string;
  readonly table: string;
}
