import { isTidemarkError, type WireValue } from "@tidemark/plugin-api";
import { isIdentity } from "../registry/identity-form.js";
import type { SyncColumn, SyncModel, SyncReference, SyncRegistry } from "../registry/model.js";
import { encodeTextBytes, encodeWireValue, mayBeRepaired, type StoredValue } from "../replication/wire-value.js";
import type { Sqlite, Statement } from "./database.js";
import { storageErrors } from "./errors.js";
import { quoteName } from "./identifiers.js";
import { deriveIdentity, targetsOf } from "./row-writer.js";

/**
 * Reads the rows of synced models as sets, one query per call, in wire form: references as the identities of their
 * targets, everything else as wire values. It may run on any connection, inside or outside a transaction, and writes
 * nothing. What it yields for one record never depends on how it was asked for.
 */

/** The local value that refers to a record. Integers that a number keeps exactly are numbers. */
export type RowKey = number | bigint | string;

export interface RecordRow {
  readonly identity: string;
  /**
   * In the order of `model.columns`. A reference is its target's identity; it reads null when it is null, when it dangles
   * (only possible where foreign keys are not enforced), and when no peer will ever hear of its target, whose identity is
   * not fit for one.
   */
  readonly values: WireValue[];
}

export interface RecordPage {
  /** Rows whose identity is not fit for one are left out: they are local, and no peer ever hears of them. */
  readonly rows: readonly RecordRow[];
  /** The identity to go on after; null when there is nothing more. */
  readonly next: string | null;
}

/**
 * A stretch of a model, from `after` (exclusive) to `upTo` (inclusive). The order of identities is the same on every
 * device: by the bytes of their UTF-8, for derived identities too, whose parts are joined by the lowest character there
 * is: they are read target by target in the order of the key columns, and that is the same.
 */
export interface PageBounds {
  /** Null: from the first record on. */
  readonly after: string | null;
  /** Null or absent: to the last record. */
  readonly upTo?: string | null;
  readonly limit: number;
}

/** Identities in one statement at most; keeps the JSON that is bound small. */
const CHUNK = 5_000;

export class RecordReader {
  readonly #plans: ReadonlyMap<SyncModel, ReadPlan>;
  readonly #statements = new WeakMap<Sqlite, Map<string, Statement>>();

  constructor({ registry }: { readonly registry: SyncRegistry }) {
    this.#plans = new Map(registry.models.map((model) => [model, readPlan(model)]));
  }

  /** The values of the records that have a row, by identity. */
  readByIdentity(db: Sqlite, model: SyncModel, identities: readonly string[]): Map<string, WireValue[]> {
    const plan = this.#plan(model);
    const statement = this.#rows(db, `SELECT ${plan.columns} ${plan.fromWanted}`);
    const found = new Map<string, WireValue[]>();
    for (const wanted of chunks(identities, plan.wanted)) {
      for (const row of statement.all(wanted) as StoredValue[][]) {
        const { identity, values } = this.#toWire(db, plan, row);
        found.set(identity, values);
      }
    }
    return found;
  }

  /**
   * The next records in the order of identities. Throws `TIDEMARK_STORAGE_NOT_AN_IDENTITY` for unfit bounds, and
   * `TIDEMARK_STORAGE_BAD_IDENTITY` when a whole page is unfit.
   */
  readPage(db: Sqlite, model: SyncModel, { after, upTo = null, limit }: PageBounds): RecordPage {
    const plan = this.#plan(model);
    const statement = this.#rows(db, plan.page(after !== null, upTo !== null));
    const bounds: Record<string, unknown> = { limit: BigInt(limit) };
    if (after !== null) bindBound(bounds, "a", model, after);
    if (upTo !== null) bindBound(bounds, "u", model, upTo);
    const found = statement.all(bounds) as StoredValue[][];
    const rows: RecordRow[] = [];
    let unfit: unknown;
    for (const row of found) {
      try {
        rows.push(this.#toWire(db, plan, row));
      } catch (error) {
        if (!isTidemarkError(error, "TIDEMARK_STORAGE_BAD_IDENTITY")) throw error;
        unfit = error;
      }
    }
    const next = found.length < limit ? null : (rows.at(-1)?.identity ?? null);
    // Nothing to go on from: the way out is to mend the rows.
    if (found.length === limit && next === null) throw unfit;
    return { rows, next };
  }

  /**
   * The identity of the `nth` record (from 1) of a stretch; null where it has fewer. Walks over those before it in an index,
   * where there is one. Unlike `readPage` it tells identities that are not fit for one as they are.
   */
  identityAt(
    db: Sqlite,
    model: SyncModel,
    { after, upTo = null, nth }: Omit<PageBounds, "limit"> & { readonly nth: number },
  ): string | null {
    const statement = this.#rows(db, this.#plan(model).identityAt(after !== null, upTo !== null));
    const bounds: Record<string, unknown> = { offset: BigInt(nth - 1) };
    if (after !== null) bindBound(bounds, "a", model, after);
    if (upTo !== null) bindBound(bounds, "u", model, upTo);
    const parts = statement.get(bounds) as StoredValue[] | undefined;
    return parts === undefined ? null : deriveIdentity(parts.map(String));
  }

  /** How many rows a stretch holds. */
  countWithin(db: Sqlite, model: SyncModel, { after, upTo = null }: Omit<PageBounds, "limit">): number {
    const statement = this.#statement(db, this.#plan(model).countWithin(after !== null, upTo !== null), plain);
    const bounds: Record<string, unknown> = {};
    if (after !== null) bindBound(bounds, "a", model, after);
    if (upTo !== null) bindBound(bounds, "u", model, upTo);
    return statement.get(bounds) as number;
  }

  /** Whether all identities of a stretch pass a test; stops at the first that does not. Unfit ones as in `identityAt`. */
  everyIdentity(
    db: Sqlite,
    model: SyncModel,
    { after, upTo = null }: Omit<PageBounds, "limit">,
    test: (identity: string) => boolean,
  ): boolean {
    const statement = this.#rows(db, this.#plan(model).identities(after !== null, upTo !== null));
    const bounds: Record<string, unknown> = {};
    if (after !== null) bindBound(bounds, "a", model, after);
    if (upTo !== null) bindBound(bounds, "u", model, upTo);
    for (const parts of statement.iterate(bounds) as Iterable<StoredValue[]>) {
      if (!test(deriveIdentity(parts.map(String)))) return false;
    }
    return true;
  }

  /** How many rows the model has. */
  count(db: Sqlite, model: SyncModel): number {
    const statement = this.#statement(db, `SELECT count(*) FROM ${quoteName(model.table)}`, plain);
    return statement.get() as number;
  }

  /**
   * The local keys of the records that have a row, by identity. `column` is given for references to another column than
   * the local key (`SyncReference.targetColumn`). Not for derived identities, to which nothing can refer.
   */
  localKeys(
    db: Sqlite,
    model: SyncModel,
    identities: readonly string[],
    column: string = localKeyColumn(model),
  ): Map<string, RowKey> {
    const statement = this.#statement(db, this.#plan(model).keys(column).ofMany, plainExact);
    const found = new Map<string, RowKey>();
    for (let from = 0; from < identities.length; from += CHUNK) {
      const wanted = identities.slice(from, from + CHUNK);
      const keys = statement.all(JSON.stringify(wanted)) as (bigint | string | null)[];
      for (let index = 0; index < wanted.length; index++) {
        const key = keys[index]!;
        if (key !== null) found.set(wanted[index]!, rowKey(key));
      }
    }
    return found;
  }

  /** The local key of one record; null when it has no row. The plain path, for a look-up at a time. */
  localKeyOf(db: Sqlite, model: SyncModel, identity: string, column: string = localKeyColumn(model)): RowKey | null {
    const statement = this.#statement(db, this.#plan(model).keys(column).ofOne, plainExact);
    const key = statement.get(identity) as bigint | string | undefined;
    return key === undefined ? null : rowKey(key);
  }

  /** The identities of the rows with these local keys; a key without a row is missing. `column` as for `localKeys`. */
  identitiesOf(
    db: Sqlite,
    model: SyncModel,
    localKeys: readonly RowKey[],
    column: string = localKeyColumn(model),
  ): Map<RowKey, string> {
    const statement = this.#rows(db, this.#plan(model).keys(column).back);
    const found = new Map<RowKey, string>();
    for (const wanted of chunks(localKeys, keysAsJson)) {
      for (const [local, identity] of statement.all(wanted) as [bigint | string, StoredValue][]) {
        found.set(rowKey(local), this.#checkedIdentity(db, model, identity));
      }
    }
    return found;
  }

  #plan(model: SyncModel): ReadPlan {
    const plan = this.#plans.get(model);
    if (plan === undefined) throw new Error(`the model "${model.name}" is not one of this reader's registry`);
    return plan;
  }

  #rows(db: Sqlite, sql: string): Statement {
    return this.#statement(db, sql, rawExact);
  }

  #statement(db: Sqlite, sql: string, configure: (statement: Statement) => Statement): Statement {
    let statements = this.#statements.get(db);
    if (statements === undefined) {
      statements = new Map();
      this.#statements.set(db, statements);
    }
    let statement = statements.get(sql);
    if (statement === undefined) {
      statement = configure(db.prepare(sql));
      statements.set(sql, statement);
    }
    return statement;
  }

  /** Turns a row into wire form, in place: it is the hottest loop of reading. */
  #toWire(db: Sqlite, plan: ReadPlan, row: StoredValue[]): RecordRow {
    const { model } = plan;
    const values = row as WireValue[];
    let repaired: SyncColumn[] | null = null;
    for (let index = 0; index < model.columns.length; index++) {
      const value = row[index] as StoredValue;
      if (value === null) continue;
      const column = model.columns[index]!;
      if (column.reference !== null) values[index] = this.#fitIdentity(db, column.reference.target, value);
      else if (typeof value === "string" && mayBeRepaired(value)) {
        repaired ??= [];
        repaired.push(column);
      } else values[index] = encodeWireValue(value, column.affinity);
    }
    const identity =
      plan.keyIndexes === null
        ? this.#checkedIdentity(db, model, row.pop() as StoredValue)
        : deriveIdentity(
            plan.keyIndexes.map((index) => {
              const part = values[index];
              if (typeof part === "string") return part;
              throw storageErrors.badIdentity({ model: plan.model.name, value: String(part) });
            }),
          );
    if (repaired !== null) {
      for (const column of repaired) values[model.columns.indexOf(column)] = this.#readText(db, plan, identity, column);
    }
    return { identity, values };
  }

  /** Text in which better-sqlite3 may have replaced bytes, from the bytes themselves. */
  #readText(db: Sqlite, plan: ReadPlan, identity: string, column: SyncColumn): WireValue {
    const sql = `SELECT CAST(m.${quoteName(column.column)} AS BLOB) ${plan.fromWanted}`;
    return encodeTextBytes(this.#statement(db, sql, plain).get(plan.wanted([identity])) as Buffer);
  }

  #checkedIdentity(db: Sqlite, model: SyncModel, value: StoredValue): string {
    const identity = this.#fitIdentity(db, model, value);
    if (identity === null) throw storageErrors.badIdentity({ model: model.name, value: String(value) });
    return identity;
  }

  /** An identity that names its record on every device, and that finds it again here; null for any other value. */
  #fitIdentity(db: Sqlite, model: SyncModel, value: StoredValue): string | null {
    if (typeof value === "string" && isIdentity(value)) {
      if (!mayBeRepaired(value)) return value;
      // A replaced character is no fault if it stands in the table just so.
      if (this.localKeyOf(db, model, value, identityColumn(model)) !== null) return value;
    }
    return null;
  }
}

/** The SQL of one model, and what is needed to read its rows. */
interface ReadPlan {
  readonly model: SyncModel;
  /** The select list: the columns in their order; then the identity, unless it is derived from them. */
  readonly columns: string;
  /** FROM … for the records whose identities stand in the one parameter, as made by `wanted`. */
  readonly fromWanted: string;
  readonly wanted: (identities: readonly string[]) => string;
  readonly page: (after: boolean, upTo: boolean) => string;
  readonly identityAt: (after: boolean, upTo: boolean) => string;
  readonly identities: (after: boolean, upTo: boolean) => string;
  readonly countWithin: (after: boolean, upTo: boolean) => string;
  /** Where the key columns of a derived identity stand in `model.columns`. */
  readonly keyIndexes: readonly number[] | null;
  readonly keys: (column: string) => KeySql;
}

/** Between identities and the values of one column that references go to. */
interface KeySql {
  readonly ofOne: string;
  readonly ofMany: string;
  readonly back: string;
}

const plain = (statement: Statement) => statement.pluck();
const plainExact = (statement: Statement) => statement.pluck().safeIntegers(true);
const rawExact = (statement: Statement) => statement.raw().safeIntegers(true);

function readPlan(model: SyncModel): ReadPlan {
  const { identity } = model;
  const keys = identity.kind === "derived" ? identity.columns : [];
  const alias = (column: SyncColumn) => `r${column.number}`;
  const joined = (column: SyncColumn) => column.reference !== null && !column.reference.byIdentity;
  const onTarget = (column: SyncColumn) =>
    `${alias(column)}.${quoteName(targetOf(column).targetColumn)} = m.${quoteName(column.column)}`;
  const expression = (column: SyncColumn) =>
    joined(column)
      ? `${alias(column)}.${quoteName(identityColumn(targetOf(column).target))}`
      : `m.${quoteName(column.column)}`;

  const table = `${quoteName(model.table)} AS m`;
  const target = (column: SyncColumn) => `${quoteName(targetOf(column).target.table)} AS ${alias(column)}`;
  const others = model.columns
    .filter((column) => joined(column) && !keys.includes(column))
    .map((column) => `LEFT JOIN ${target(column)} ON ${onTarget(column)}`)
    .join(" ");
  const list = model.columns.map(expression);
  const joinedKeys = keys.filter(joined);

  let order: readonly string[];
  let fromWanted: string;
  let fromKeys: string;
  if (identity.kind === "column") {
    const own = `m.${quoteName(identity.column)}`;
    list.push(own);
    order = [own];
    // CROSS JOIN keeps the order of the loops: never a scan of the table for a handful of records.
    fromWanted = `FROM json_each(?) AS wanted CROSS JOIN ${table} ON ${own} = wanted.value ${others}`;
    fromKeys = `FROM ${table}`;
  } else {
    order = keys.map(expression);
    const part = (column: SyncColumn) => `wanted.value ->> ${keys.indexOf(column)}`;
    const targets = joinedKeys.map(
      (column) => `CROSS JOIN ${target(column)} ON ${expression(column)} = ${part(column)}`,
    );
    const match = keys.map((column) =>
      joined(column) ? onTarget(column) : `m.${quoteName(column.column)} = ${part(column)}`,
    );
    fromWanted = `FROM json_each(?) AS wanted ${targets.join(" ")} CROSS JOIN ${table} ON ${match.join(" AND ")} ${others}`;
    // The first key's targets are walked in the order of their identities, so that only what one of them has is sorted.
    const [first] = keys;
    const inner = joinedKeys
      .filter((column) => column !== first)
      .map((column) => `CROSS JOIN ${target(column)} ON ${onTarget(column)}`);
    const start = first && joined(first) ? `${target(first)} CROSS JOIN ${table} ON ${onTarget(first)}` : table;
    fromKeys = `FROM ${start} ${inner.join(" ")}`;
  }
  const where = (after: boolean, upTo: boolean): string => {
    const bounds: string[] = [];
    if (after) bounds.push(`${order[0]} ${order.length > 1 ? ">=" : ">"} :a0`, beyond(order, ">", ">", "a"));
    if (upTo) bounds.push(`${order[0]} <= :u0`, beyond(order, "<", "<=", "u"));
    return bounds.length > 0 ? `WHERE ${bounds.join(" AND ")}` : "";
  };
  const within = (after: boolean, upTo: boolean): string => `${where(after, upTo)} ORDER BY ${order.join(", ")}`;

  return {
    model,
    columns: list.join(", "),
    fromWanted,
    wanted:
      identity.kind === "column"
        ? JSON.stringify
        : (identities) => JSON.stringify(identities.map((it) => targetsOf(keys, it)).filter((it) => it !== null)),
    page: (after, upTo) => `SELECT ${list.join(", ")} ${fromKeys} ${others} ${within(after, upTo)} LIMIT :limit`,
    identityAt: (after, upTo) => `SELECT ${order.join(", ")} ${fromKeys} ${within(after, upTo)} LIMIT 1 OFFSET :offset`,
    identities: (after, upTo) => `SELECT ${order.join(", ")} ${fromKeys} ${within(after, upTo)}`,
    countWithin: (after, upTo) => `SELECT count(*) ${fromKeys} ${where(after, upTo)}`,
    keyIndexes: identity.kind === "derived" ? keys.map((column) => model.columns.indexOf(column)) : null,
    keys: keySqlOf(model),
  };
}

/** Built once per column: single look-ups are so short that making their SQL anew would be a good part of them. */
function keySqlOf(model: SyncModel): (column: string) => KeySql {
  const known = new Map<string, KeySql>();
  return (column) => {
    let sql = known.get(column);
    if (sql === undefined) {
      const table = quoteName(model.table);
      const identity = quoteName(identityColumn(model));
      const key = quoteName(column);
      const wanted = `FROM json_each(?) AS wanted CROSS JOIN ${table} AS m`;
      sql = {
        ofOne: `SELECT ${key} FROM ${table} WHERE ${identity} = ?`,
        // One value for each that is wanted, in their order: the left side of a LEFT JOIN is the outer loop.
        ofMany: `SELECT m.${key} FROM json_each(?) AS wanted LEFT JOIN ${table} AS m ON m.${identity} = wanted.value`,
        back: `SELECT m.${key}, m.${identity} ${wanted} ON m.${key} = wanted.value`,
      };
      known.set(column, sql);
    }
    return sql;
  };
}

/** `(x, y) > (:a0, :a1)`, spelt out, because SQLite uses no index for a list that spans several tables. */
function beyond(order: readonly string[], operator: string, lastOperator: string, prefix: string, from = 0): string {
  const [first, ...rest] = order;
  const parameter = `:${prefix}${from}`;
  if (rest.length === 0) return `${first} ${lastOperator} ${parameter}`;
  const next = beyond(rest, operator, lastOperator, prefix, from + 1);
  return `(${first} ${operator} ${parameter} OR (${first} = ${parameter} AND ${next}))`;
}

function bindBound(bounds: Record<string, unknown>, prefix: string, model: SyncModel, identity: string): void {
  const parts = model.identity.kind === "derived" ? targetsOf(model.identity.columns, identity) : [identity];
  if (parts === null) throw storageErrors.notAnIdentity({ model: model.name, value: identity });
  parts.forEach((part, index) => {
    bounds[`${prefix}${index}`] = part;
  });
}

function targetOf(column: SyncColumn): SyncReference {
  return column.reference!;
}

function identityColumn(model: SyncModel): string {
  if (model.identity.kind === "column") return model.identity.column;
  throw new Error(`the identity of "${model.name}" is derived; nothing can refer to it`);
}

function localKeyColumn(model: SyncModel): string {
  if (model.localKey !== null) return model.localKey.column;
  throw new Error(`the model "${model.name}" has no local key; its rows are found by their key columns`);
}

function rowKey(value: bigint | string): RowKey {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

// Not by JSON.stringify, which knows no bigint.
function keysAsJson(keys: readonly RowKey[]): string {
  return `[${keys.map((key) => (typeof key === "string" ? JSON.stringify(key) : String(key))).join(",")}]`;
}

function* chunks<T>(items: readonly T[], toJson: (chunk: readonly T[]) => string): Generator<string> {
  for (let from = 0; from < items.length; from += CHUNK) yield toJson(items.slice(from, from + CHUNK));
}
