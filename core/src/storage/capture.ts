import type { CapturePlan } from "./capture-plan.js";
import {
  differing,
  type FoundTrigger,
  hasCaptureTable,
  readCaptureTriggers,
  readStoredCaptures,
  type StoredCapture,
  sameTriggers,
  writeStoredCaptures,
} from "./capture-store.js";
import { CAPTURE_TRIGGER_GLOB, type CaptureTrigger, captureTriggers } from "./capture-triggers.js";
import type { Sqlite } from "./database.js";
import { foldName, quoteName } from "./identifiers.js";

/**
 * Installs, checks and removes capture. It runs inside a write transaction of the caller, and touches neither the outbox
 * nor the stamps: who re-installs with another column map folds the outbox first, in the same transaction.
 */

export interface CapturedModel {
  readonly model: number;
  readonly table: string;
}

/** Writes to this table may have gone unseen: the model must be compared with a peer. */
export interface CaptureGap extends CapturedModel {
  readonly reason: string;
}

/**
 * A trigger of the application that writes synced tables. What it writes on a local write is captured; while received
 * changes are applied it runs on every device, uncaptured.
 */
export interface ForeignTrigger {
  readonly trigger: string;
  /** The table that it stands on. */
  readonly table: string;
  /** The synced tables that it seems to write. */
  readonly writes: readonly string[];
}

export interface CaptureReport {
  /** Seen for the first time. */
  readonly installed: readonly CapturedModel[];
  /** Re-installed because the application asks for something else than before. */
  readonly changed: readonly CapturedModel[];
  /** No longer registered; their triggers are gone. */
  readonly removed: readonly CapturedModel[];
  readonly gaps: readonly CaptureGap[];
  readonly foreignTriggers: readonly ForeignTrigger[];
}

const SILENCED = "somebody had left a row in tidemark_applying, which turns all triggers off";

/** Makes the triggers in the schema those that `plans` ask for. Call inside a write transaction. */
export function installCapture({
  db,
  plans,
}: {
  readonly db: Sqlite;
  readonly plans: readonly CapturePlan[];
}): CaptureReport {
  const stored = new Map(readStoredCaptures(db).map((capture) => [capture.model, capture]));
  const found = readCaptureTriggers(db);
  const installed: CapturedModel[] = [];
  const changed: CapturedModel[] = [];
  const removed: CapturedModel[] = [];
  const gaps: CaptureGap[] = [];
  const captures: StoredCapture[] = [];

  // Empty at every commit; somebody else has left what is there now, and meanwhile no trigger has done anything.
  const silenced = db.prepare("DELETE FROM tidemark_applying").run().changes > 0;
  // Removals come first: a new model may stand on the table of a former one.
  const planned = new Set(plans.map(({ model }) => model));
  for (const [model, triggers] of found) if (!planned.has(model)) dropTriggers(db, triggers);
  for (const { model, table } of stored.values()) if (!planned.has(model)) removed.push({ model, table });

  for (const plan of plans) {
    const { model, table } = plan;
    const triggers = captureTriggers(plan);
    const present = found.get(model) ?? [];
    const capture: StoredCapture = { ...plan, intended: plan, triggers, renamedFrom: null };
    captures.push(capture);
    const before = stored.get(model);
    if (!before) installed.push({ model, table });
    else {
      const reason = silenced ? SILENCED : gapOf({ before, plan, present, wanted: triggers });
      if (reason !== null) gaps.push({ model, table, reason });
      if (JSON.stringify(before.intended) !== JSON.stringify(plan)) changed.push({ model, table });
    }
    replaceTriggers({ db, found: present, wanted: triggers });
  }
  writeStoredCaptures(db, captures);
  return { installed, changed, removed, gaps, foreignTriggers: applicationTriggers(db, plans) };
}

/**
 * Compares the schema with what was installed, without the application's plans and without writing: cheap enough for
 * every time that `schema_version` has moved. A database without capture has no gaps.
 */
export function verifyCapture(db: Sqlite): readonly CaptureGap[] {
  if (!hasCaptureTable(db)) return [];
  const found = readCaptureTriggers(db);
  const gaps: CaptureGap[] = [];
  for (const { model, table, triggers } of readStoredCaptures(db)) {
    const reason = triggerDifference(found.get(model) ?? [], triggers);
    if (reason !== null) gaps.push({ model, table, reason });
  }
  return gaps;
}

/**
 * Takes capture out of the database. Call inside a write transaction, before the sync tables go: a trigger without its
 * table fails every write of the application.
 */
export function uninstallCapture(db: Sqlite): void {
  for (const triggers of readCaptureTriggers(db).values()) dropTriggers(db, triggers);
  if (hasCaptureTable(db)) writeStoredCaptures(db, []);
}

/** Drops what is not wanted and creates what is not there; leaves equal triggers alone. */
export function replaceTriggers({
  db,
  found,
  wanted,
}: {
  readonly db: Sqlite;
  readonly found: readonly FoundTrigger[];
  readonly wanted: readonly CaptureTrigger[];
}): void {
  dropTriggers(db, differing(wanted, found));
  for (const { sql } of differing(found, wanted)) db.exec(sql);
}

export function dropTriggers(db: Sqlite, triggers: readonly { readonly name: string }[]): void {
  for (const { name } of triggers) db.exec(`DROP TRIGGER IF EXISTS main.${quoteName(name)}`);
}

function gapOf({
  before,
  plan,
  present,
  wanted,
}: {
  readonly before: StoredCapture;
  readonly plan: CapturePlan;
  readonly present: readonly CaptureTrigger[];
  readonly wanted: readonly CaptureTrigger[];
}): string | null {
  // A table or column that was renamed by plain SQL: SQLite has rewritten the triggers, and nothing was missed.
  if (sameTriggers(present, wanted)) return null;
  const altered = triggerDifference(present, before.triggers);
  if (altered !== null) return altered;
  // The guard has guessed which table to follow, in the absence of the application's model.
  if (before.renamedFrom !== null && foldName(before.table) !== foldName(plan.table)) {
    return `a rename led capture to the table "${before.table}"`;
  }
  const lost = lostColumns(before).filter(({ number }) => plan.columns.some((column) => column.number === number));
  if (lost.length > 0) {
    const list = lost.map(({ column }) => `"${column}"`).join(", ");
    return `the table was changed, and changes of what was ${list} could not be captured until now`;
  }
  return null;
}

/** The columns that were asked for and that the table has not had since a change of its schema. */
function lostColumns({ intended, columns }: StoredCapture): CapturePlan["columns"] {
  return intended.columns.filter(({ number }) => !columns.some((column) => column.number === number));
}

/** What is missing or altered among the triggers of one table, for people; null if nothing is. */
export function triggerDifference(found: readonly CaptureTrigger[], wanted: readonly CaptureTrigger[]): string | null {
  const present = new Set(found.map(({ name }) => name));
  const missing = wanted.filter(({ name }) => !present.has(name));
  if (missing.length > 0) return `triggers are missing: ${missing.map(({ name }) => name).join(", ")}`;
  const altered = differing(wanted, found);
  if (altered.length > 0) return `triggers have been altered: ${altered.map(({ name }) => name).join(", ")}`;
  return null;
}

/** What an INSERT, UPDATE, DELETE or REPLACE in the body of a trigger names, roughly; conflict clauses left out. */
const WRITTEN =
  /\b(?:(?:INSERT(?:\s+OR\s+\w+)?|REPLACE)\s+INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM)\s+(?:"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|\[([^\]]+)\]|([^\s(;]+))/gi;

/** Triggers of the application that write synced tables without asking whether changes of peers are being applied. */
export function applicationTriggers(db: Sqlite, plans: readonly CapturePlan[]): readonly ForeignTrigger[] {
  const synced = new Map(plans.map(({ table }) => [foldName(table), table]));
  const triggers = db
    .prepare(
      "SELECT name AS trigger, tbl_name AS \"table\", sql FROM main.sqlite_master WHERE type = 'trigger' AND name NOT GLOB ?",
    )
    .all(CAPTURE_TRIGGER_GLOB) as { readonly trigger: string; readonly table: string; readonly sql: string }[];
  const found: ForeignTrigger[] = [];
  for (const { trigger, table, sql } of triggers) {
    // A trigger that asks the guard has been written with us in mind.
    if (!synced.has(foldName(table)) || /\btidemark_applying\b/i.test(sql)) continue;
    const writes = new Set<string>();
    const body = sql.slice(sql.search(/\bBEGIN\b/i));
    for (const [, double, back, bracket, bare] of body.matchAll(WRITTEN)) {
      const name = double?.replaceAll('""', '"') ?? back?.replaceAll("``", "`") ?? bracket ?? bare ?? "";
      const written = synced.get(foldName(name));
      if (written !== undefined) writes.add(written);
    }
    if (writes.size > 0) found.push({ trigger, table, writes: [...writes] });
  }
  return found;
}
