import type { SyncColumn, SyncModel } from "../registry/model.js";
import type { Sqlite } from "./database.js";
import { quoteName } from "./identifiers.js";
import { targetsOf } from "./row-writer.js";
import { prepared } from "./statements.js";

/**
 * References that the application has written before what they refer to. A reference counts only if it is younger than
 * its target's life; these have been stamped, and their target has not, so they have to be stamped again when it is.
 *
 * Either the target is not there yet, which SQLite allows where it does not watch the reference; or it may stand in the
 * same transaction, further on in the outbox. Tentative are the latter: they go with the end of that transaction.
 */
export interface LateReference {
  readonly model: number;
  readonly record: string;
  /** Whether the target was not there when the reference was stamped: others may have heard of it since. */
  readonly absent: boolean;
}

export function anyLate(db: Sqlite): boolean {
  return prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_late)").pluck().get() === 1;
}

/** Remembers which of the records refer by `column` to a row that is not there. */
export function noteAbsent(db: Sqlite, model: SyncModel, column: SyncColumn, records: readonly string[]): void {
  // A derived identity names its targets: without them there is none, and the record is no matter of others.
  if (model.identity.kind !== "column") return;
  const { target, targetColumn } = column.reference!;
  const [table, identity, value] = [model.table, model.identity.column, column.column].map(quoteName);
  prepared(
    db,
    `INSERT OR IGNORE INTO tidemark_late (target_model, target, model, record, until)
     SELECT ?, t.${value}, ?, t.${identity}, NULL FROM json_each(?) j CROSS JOIN ${table} t ON t.${identity} = j.value
     WHERE t.${value} IS NOT NULL AND NOT EXISTS
       (SELECT 1 FROM ${quoteName(target.table)} x WHERE x.${quoteName(targetColumn)} = t.${value})`,
  ).run(target.number, model.number, JSON.stringify(records));
}

/**
 * Remembers which of the records refer by `column` to one whose birth may still stand in the outbox, where all that was
 * committed with the records goes as far as `until`: one without a birth in the log. `born`: those that are born there,
 * where that is known.
 */
export function noteTentative({
  db,
  model,
  column,
  records,
  until,
  born: bornThere,
}: {
  readonly db: Sqlite;
  readonly model: SyncModel;
  readonly column: SyncColumn;
  readonly records: readonly string[];
  readonly until: number;
  readonly born: readonly string[] | null;
}): void {
  if (bornThere?.length === 0) return;
  const { target, targetColumn } = column.reference!;
  const among = bornThere === null ? [] : [JSON.stringify(bornThere)];
  const isAmong = (identity: string) =>
    bornThere === null ? "" : `AND ${identity} IN (SELECT value FROM json_each(?))`;
  const insert = "INSERT OR IGNORE INTO tidemark_late (target_model, target, model, record, until)";
  const born = (identity: string) =>
    `EXISTS (SELECT 1 FROM tidemark_stamp s WHERE s.model = ${target.number} AND s.record = ${identity} AND s.col = -1)`;
  if (model.identity.kind === "derived") {
    const at = model.identity.columns.indexOf(column);
    const pairs = records.map((record) => [targetsOf(columnsOf(model), record)?.[at], record]);
    prepared(
      db,
      `${insert} SELECT ?, j.value ->> 0, ?, j.value ->> 1, ? FROM json_each(?) j
       WHERE j.value ->> 0 IS NOT NULL AND NOT ${born("j.value ->> 0")} ${isAmong("j.value ->> 0")}`,
    ).run(target.number, model.number, until, JSON.stringify(pairs), ...among);
    return;
  }
  if (target.identity.kind !== "column") return;
  const [table, identity, value] = [model.table, model.identity.column, column.column].map(quoteName);
  const targetIdentity = `x.${quoteName(target.identity.column)}`;
  prepared(
    db,
    `${insert} SELECT ?, t.${value}, ?, t.${identity}, ? FROM json_each(?) j
     CROSS JOIN ${table} t ON t.${identity} = j.value
     CROSS JOIN ${quoteName(target.table)} x ON x.${quoteName(targetColumn)} = t.${value}
     WHERE NOT ${born(targetIdentity)} ${isAmong(targetIdentity)}`,
  ).run(target.number, model.number, until, JSON.stringify(records), ...among);
}

/** Takes out what refers to records of one model that have been born, by their identities and local keys. */
export function takeLate(db: Sqlite, targetModel: number, targets: readonly (string | number)[]): LateReference[] {
  const born = JSON.stringify(targets);
  const found = prepared(
    db,
    `SELECT l.model, l.record, l.until FROM json_each(?) j
     CROSS JOIN tidemark_late l ON l.target_model = ? AND l.target = j.value`,
  ).all(born, targetModel) as { model: number; record: string; until: number | null }[];
  if (found.length > 0) {
    prepared(db, "DELETE FROM tidemark_late WHERE target_model = ? AND target IN (SELECT value FROM json_each(?))").run(
      targetModel,
      born,
    );
  }
  return found.map(({ model, record, until }) => ({ model, record, absent: until === null }));
}

/** The records are gone, or refer to something else by now. */
export function forgetLate(db: Sqlite, model: number, records: readonly string[]): void {
  prepared(db, "DELETE FROM tidemark_late WHERE model = ? AND record IN (SELECT value FROM json_each(?))").run(
    model,
    JSON.stringify(records),
  );
}

/** The outbox has been folded up to and with `seq`; null: to its end. */
export function forgetTentative(db: Sqlite, seq: number | null): void {
  const upTo = seq ?? Number.MAX_SAFE_INTEGER;
  const any = prepared(db, "SELECT EXISTS (SELECT 1 FROM tidemark_late WHERE until <= ?)");
  if (any.pluck().get(upTo) === 0) return;
  const others = prepared(
    db,
    "SELECT EXISTS (SELECT 1 FROM tidemark_late WHERE until > ?) OR EXISTS (SELECT 1 FROM tidemark_late WHERE until IS NULL)",
  );
  // They may be as many as a large transaction has references: without a condition SQLite empties the table at once.
  if (others.pluck().get(upTo) === 0) prepared(db, "DELETE FROM tidemark_late").run();
  else prepared(db, "DELETE FROM tidemark_late WHERE until <= ?").run(upTo);
}

function columnsOf(model: SyncModel): readonly SyncColumn[] {
  return model.identity.kind === "derived" ? model.identity.columns : [];
}
