import { isIdentity } from "../registry/identity-form.js";
import type { SyncColumn, SyncModel } from "../registry/model.js";
import type { Sqlite } from "./database.js";
import { quoteName } from "./identifiers.js";
import type { RecordReader } from "./record-reader.js";
import { deriveIdentity, type LocalKey, targetsOf } from "./row-writer.js";
import { prepared } from "./statements.js";

/** Which of the given records have a row, and how it is found. */
export function presentRows({
  db,
  model,
  records,
  reader,
}: {
  readonly db: Sqlite;
  readonly model: SyncModel;
  readonly records: readonly string[];
  readonly reader: RecordReader;
}): Map<string, LocalKey> {
  if (model.identity.kind === "column") return reader.localKeys(db, model, records);
  const { columns } = model.identity;
  const keys = columns.map((column) => `t.${quoteName(column.column)}`);
  const sql = `SELECT ${keys.join(", ")} FROM ${quoteName(model.table)} t ${joinTargets(columns)}
               WHERE ${columns.map((_, index) => `r${index}.${targetIdentity(columns[index]!)} = ?`).join(" AND ")}`;
  const present = new Map<string, LocalKey>();
  for (const record of records) {
    const targets = targetsOf(columns, record);
    if (targets === null) continue;
    const row = prepared(db, sql).raw(true).get(targets) as (number | string)[] | undefined;
    if (row !== undefined) present.set(record, row);
  }
  return present;
}

/**
 * The identities of the rows of `model` whose `column` has the given local value. Rows whose identity is not fit for one
 * are left out: no peer ever hears of them.
 */
export function rowsReferring({
  db,
  model,
  column,
  value,
}: {
  readonly db: Sqlite;
  readonly model: SyncModel;
  readonly column: SyncColumn;
  readonly value: number | bigint | string;
}): readonly string[] {
  const bound = typeof value === "number" ? BigInt(value) : value;
  const where = `t.${quoteName(column.column)} = ?`;
  if (model.identity.kind === "column") {
    const identities = prepared(
      db,
      `SELECT ${quoteName(model.identity.column)} FROM ${quoteName(model.table)} t WHERE ${where}`,
    )
      .pluck()
      .all(bound) as string[];
    return identities.filter(isIdentity);
  }
  const { columns } = model.identity;
  const identities = columns.map((target, index) => `r${index}.${targetIdentity(target)}`);
  const rows = prepared(
    db,
    `SELECT ${identities.join(", ")} FROM ${quoteName(model.table)} t ${joinTargets(columns)} WHERE ${where}`,
  )
    .raw(true)
    .all(bound) as string[][];
  return rows.filter((targets) => targets.every(isIdentity)).map(deriveIdentity);
}

/** Who refers by `column` to which of the given records of its target. */
export function referencesTo({
  db,
  model,
  column,
  targets,
}: {
  readonly db: Sqlite;
  readonly model: SyncModel;
  readonly column: SyncColumn;
  readonly targets: readonly string[];
}): readonly { readonly record: string; readonly target: string }[] {
  const { target, targetColumn } = column.reference!;
  const columns = model.identity.kind === "derived" ? model.identity.columns : [];
  const identities =
    model.identity.kind === "derived"
      ? columns.map((part, index) => `r${index}.${targetIdentity(part)}`)
      : [`t.${quoteName(model.identity.column)}`];
  const identity = targetIdentity(column);
  const rows = prepared(
    db,
    `SELECT x.${identity}, ${identities.join(", ")} FROM ${quoteName(model.table)} t ${joinTargets(columns)}
     JOIN ${quoteName(target.table)} x ON x.${quoteName(targetColumn)} = t.${quoteName(column.column)}
     WHERE x.${identity} IN (SELECT value FROM json_each(?))`,
  )
    .raw(true)
    .all(JSON.stringify(targets)) as string[][];
  return rows
    .filter(([, ...parts]) => parts.every(isIdentity))
    .map(([to, ...parts]) => ({ record: deriveIdentity(parts), target: to! }));
}

function joinTargets(columns: readonly SyncColumn[]): string {
  return columns
    .map((column, index) => {
      const { target, targetColumn } = column.reference!;
      return `JOIN ${quoteName(target.table)} r${index} ON r${index}.${quoteName(targetColumn)} = t.${quoteName(column.column)}`;
    })
    .join(" ");
}

/** The identity column of a derived key's target: such a target always has one, since it can be referred to. */
function targetIdentity(column: SyncColumn): string {
  const identity = column.reference!.target.identity;
  if (identity.kind !== "column") throw new TypeError(`${column.name} refers to a model with a derived identity`);
  return quoteName(identity.column);
}
