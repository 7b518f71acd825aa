import { DERIVED_IDENTITY_SEPARATOR, type SyncColumn, type SyncModel } from "../registry/model.js";
import type { Sqlite, Statement } from "./database.js";
import { quoteName } from "./identifiers.js";
import { prepared } from "./statements.js";

/**
 * Writes rows of one model on the kernel's connection, always inside an apply transaction. It binds what it is given:
 * merging, references and ownership have been decided before.
 */

/** How a row is found in its table: the integer key, the identity, or (derived identities) the local key values. */
export type LocalKey = number | bigint | string | readonly (number | bigint | string)[];

/** Text whose bytes are not valid UTF-8; has to be stored by way of a cast. */
export interface RawText {
  readonly bytes: Buffer;
}

export type Bindable = null | bigint | number | string | Buffer | RawText;

export function isRawText(value: Bindable): value is RawText {
  return typeof value === "object" && value !== null && "bytes" in value;
}

const ROWS_AT_ONCE = [100, 10, 1];
/** SQLite's own limit is 32,766, but an application may have built it with the old one. */
const MOST_PARAMETERS = 999;

export class RowWriter {
  readonly model: SyncModel;
  readonly #db: Sqlite;
  readonly #table: string;
  readonly #identity: string | null;
  readonly #where: string;
  readonly #inserts = new Map<string, Statement>();
  readonly #insertsOfMany = new Map<number, Statement>();
  readonly #updates = new Map<string, Statement>();
  readonly #delete: Statement;
  readonly #highestKey: Statement | null;

  constructor(db: Sqlite, model: SyncModel) {
    this.#db = db;
    this.model = model;
    this.#table = quoteName(model.table);
    this.#identity = model.identity.kind === "column" ? model.identity.column : null;
    this.#where =
      model.identity.kind === "derived"
        ? model.identity.columns.map((column) => `${quoteName(column.column)} = ?`).join(" AND ")
        : `${quoteName(model.localKey!.column)} = ?`;
    this.#delete = db.prepare(`DELETE FROM ${this.#table} WHERE ${this.#where}`);
    this.#highestKey =
      model.localKey?.kind === "integer"
        ? db
            .prepare(`SELECT ifnull(max(${quoteName(model.localKey.column)}), 0) FROM ${this.#table}`)
            .pluck()
            .safeIntegers(true)
        : null;
  }

  /**
   * The highest integer key ever used, so that new ones can be assigned before the rows are written. Valid only within
   * the write transaction in which it was read.
   */
  highestKey(): bigint {
    const highest = this.#highestKey!.get() as bigint;
    const sequences = prepared(this.#db, "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").get();
    if (sequences === undefined) return highest;
    const used = prepared(this.#db, "SELECT seq FROM sqlite_sequence WHERE name = ?")
      .pluck()
      .safeIntegers(true)
      .get(this.model.table) as bigint | undefined;
    return used !== undefined && used > highest ? used : highest;
  }

  /** Inserts a row; `values` are in the order of the model's columns, `undefined` leaves a column to its default. */
  insert(record: string, key: LocalKey | null, values: readonly (Bindable | undefined)[]): void {
    const { signature, bound } = this.#signature(values);
    let statement = this.#inserts.get(signature);
    if (statement === undefined) {
      const columns: string[] = [];
      const places: string[] = [];
      if (this.model.localKey?.kind === "integer") {
        columns.push(quoteName(this.model.localKey.column));
        places.push("?");
      }
      if (this.#identity !== null) {
        columns.push(quoteName(this.#identity));
        places.push("?");
      }
      this.model.columns.forEach((column, index) => {
        if (signature[index] === "-") return;
        columns.push(quoteName(column.column));
        places.push(signature[index] === "t" ? "CAST(? AS TEXT)" : "?");
      });
      statement = this.#db.prepare(`INSERT INTO ${this.#table} (${columns.join(", ")}) VALUES (${places.join(", ")})`);
      this.#inserts.set(signature, statement);
    }
    if (this.#identity !== null) bound.unshift(record);
    if (this.model.localKey?.kind === "integer") bound.unshift(key as bigint);
    statement.run(bound);
  }

  /** Inserts complete rows: the integer key if the model has one, the identity, then all columns in their order. */
  insertAll(rows: readonly (readonly Exclude<Bindable, RawText>[])[]): void {
    this.#insertMany(rows.length, rows[0]?.length ?? 0, (bound, first, size, width) => {
      for (let row = 0; row < size; row++) {
        for (let column = 0; column < width; column++) bound[row * width + column] = rows[first + row]![column];
      }
    });
  }

  /** The same, column by column. */
  insertColumns(columns: readonly (readonly unknown[])[]): void {
    this.#insertMany(columns[0]!.length, columns.length, (bound, first, size, width) => {
      for (let column = 0; column < width; column++) {
        const values = columns[column]!;
        for (let row = 0; row < size; row++) bound[row * width + column] = values[first + row];
      }
    });
  }

  /** As many rows in a statement as it may have parameters: a statement costs more than a row that it inserts. */
  #insertMany(
    count: number,
    width: number,
    bind: (bound: unknown[], first: number, size: number, width: number) => void,
  ): void {
    let next = 0;
    for (const most of ROWS_AT_ONCE) {
      const size = Math.max(1, Math.min(most, Math.floor(MOST_PARAMETERS / width)));
      if (count - next < size) continue;
      const bound: unknown[] = new Array(size * width);
      for (const statement = this.#insertion(size); count - next >= size; next += size) {
        bind(bound, next, size, width);
        statement.run(bound);
      }
    }
  }

  #insertion(count: number): Statement {
    let statement = this.#insertsOfMany.get(count);
    if (statement === undefined) {
      const { localKey, columns } = this.model;
      const names = [...(localKey?.kind === "integer" ? [localKey.column] : []), this.#identity!];
      const all = [...names, ...columns.map(({ column }) => column)].map(quoteName);
      const row = `(${all.map(() => "?").join(", ")})`;
      const values = new Array(count).fill(row).join(", ");
      statement = this.#db.prepare(`INSERT INTO ${this.#table} (${all.join(", ")}) VALUES ${values}`);
      this.#insertsOfMany.set(count, statement);
    }
    return statement;
  }

  /** Updates the columns whose value is not `undefined`. */
  update(key: LocalKey, values: readonly (Bindable | typeof TO_DEFAULT | undefined)[]): void {
    if (values.every((value) => value === undefined)) return;
    const { signature, bound } = this.#signature(values);
    let statement = this.#updates.get(signature);
    if (statement === undefined) {
      const sets: string[] = [];
      this.model.columns.forEach((column, index) => {
        if (signature[index] === "-") return;
        const place = { t: "CAST(? AS TEXT)", d: `(${column.defaultSql})` }[signature[index]!] ?? "?";
        sets.push(`${quoteName(column.column)} = ${place}`);
      });
      statement = this.#db.prepare(`UPDATE ${this.#table} SET ${sets.join(", ")} WHERE ${this.#where}`);
      this.#updates.set(signature, statement);
    }
    bound.push(...keyValues(key));
    statement.run(bound);
  }

  delete(key: LocalKey): void {
    this.#delete.run(keyValues(key));
  }

  /** One character per column (absent, plain, raw text, default), which names the statement; and the values to bind. */
  #signature(values: readonly (Bindable | typeof TO_DEFAULT | undefined)[]): { signature: string; bound: unknown[] } {
    let signature = "";
    const bound: unknown[] = [];
    for (let index = 0; index < this.model.columns.length; index++) {
      const value = values[index];
      if (value === undefined) signature += "-";
      else if (value === TO_DEFAULT) signature += "d";
      else if (isRawText(value)) {
        signature += "t";
        bound.push(value.bytes);
      } else {
        signature += "v";
        bound.push(value);
      }
    }
    return { signature, bound };
  }
}

/** Instead of a value: what a row takes that says nothing of the column. */
export const TO_DEFAULT = Symbol("to default");

function keyValues(key: LocalKey): unknown[] {
  return (Array.isArray(key) ? key : [key]).map((value) => (typeof value === "number" ? BigInt(value) : value));
}

/** The identity of a record whose primary key consists of references, from those of its targets. */
export function deriveIdentity(targets: readonly string[]): string {
  return targets.join(DERIVED_IDENTITY_SEPARATOR);
}

/** The targets' identities behind a derived identity, in key order; null when it isn't one of this model. */
export function targetsOf(columns: readonly SyncColumn[], record: string): readonly string[] | null {
  const parts = record.split(DERIVED_IDENTITY_SEPARATOR);
  return parts.length === columns.length && parts.every((part) => part.length > 0) ? parts : null;
}
