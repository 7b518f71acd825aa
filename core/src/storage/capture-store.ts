import type { CapturePlan } from "./capture-plan.js";
import { CAPTURE_TRIGGER_GLOB, type CaptureTrigger, modelOfTrigger } from "./capture-triggers.js";
import type { Sqlite } from "./database.js";

/** What is installed: the rows of `tidemark_capture`, and the capture triggers that the schema has. Decides nothing. */

/** A plan as it is kept: the one in force, and what is needed to judge and mend it later. */
export interface StoredCapture extends CapturePlan {
  /** What the application asked for. The plan in force lacks those of its columns that the table lacks. */
  readonly intended: CapturePlan;
  /** As installed. Kept as text, so that another version of Tidemark can tell a tampered trigger from its own news. */
  readonly triggers: readonly CaptureTrigger[];
  /** The table that the application named, when a rename has led capture away from it. */
  readonly renamedFrom: string | null;
}

/** A capture trigger in the schema. */
export interface FoundTrigger extends CaptureTrigger {
  readonly table: string;
}

export function hasCaptureTable(db: Sqlite): boolean {
  return (
    db.prepare("SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'tidemark_capture'").get() !==
    undefined
  );
}

export function readStoredCaptures(db: Sqlite): readonly StoredCapture[] {
  const rows = db.prepare("SELECT plan FROM tidemark_capture ORDER BY model").pluck().all() as string[];
  return rows.map((plan) => JSON.parse(plan) as StoredCapture);
}

/** Replaces the stored captures by these, touching only what differs. */
export function writeStoredCaptures(db: Sqlite, captures: readonly StoredCapture[]): void {
  const before = new Map(
    (db.prepare("SELECT model, plan FROM tidemark_capture").safeIntegers(false).raw().all() as [number, string][]).map(
      ([model, plan]) => [model, plan],
    ),
  );
  const after = new Map(captures.map((capture) => [capture.model, { capture, plan: JSON.stringify(capture) }]));
  // All removals come first: two models may have swapped their tables, and a table is unique.
  const remove = db.prepare("DELETE FROM tidemark_capture WHERE model = ?");
  for (const [model, plan] of before) if (after.get(model)?.plan !== plan) remove.run(BigInt(model));
  const insert = db.prepare("INSERT INTO tidemark_capture (model, tbl, plan) VALUES (?, ?, ?)");
  for (const [model, { capture, plan }] of after) {
    if (before.get(model) !== plan) insert.run(BigInt(model), capture.table, plan);
  }
}

/** The capture triggers in the schema, by model. */
export function readCaptureTriggers(db: Sqlite): ReadonlyMap<number, readonly FoundTrigger[]> {
  const rows = db
    .prepare("SELECT name, tbl_name AS \"table\", sql FROM main.sqlite_master WHERE type = 'trigger' AND name GLOB ?")
    .all(CAPTURE_TRIGGER_GLOB) as FoundTrigger[];
  const byModel = new Map<number, FoundTrigger[]>();
  for (const row of rows) {
    const model = modelOfTrigger(row.name);
    if (model !== undefined) byModel.set(model, [...(byModel.get(model) ?? []), row]);
  }
  return byModel;
}

/** Whether exactly the wanted triggers are there, letter by letter. */
export function sameTriggers(found: readonly CaptureTrigger[], wanted: readonly CaptureTrigger[]): boolean {
  return found.length === wanted.length && differing(found, wanted).length === 0;
}

/** Those of `some` that `others` do not contain. */
export function differing<T extends CaptureTrigger>(
  others: readonly CaptureTrigger[],
  some: readonly T[],
): readonly T[] {
  const text = new Map(others.map(({ name, sql }) => [name, sql]));
  return some.filter(({ name, sql }) => text.get(name) !== sql);
}
