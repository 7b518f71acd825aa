import type { Sqlite } from "../storage/database.js";
import { prepared } from "../storage/statements.js";
import { type Stretch, WHOLE } from "./backfill-ranges.js";
import type { BackfillMode } from "./membership.js";

/** A backfill under way: written with every page, in the transaction of the page. */
export interface BackfillRecord {
  readonly mode: BackfillMode;
  /** The pointwise minimum of the vectors that its servers noted, by origin id; null before the first. */
  readonly noted: Readonly<Record<string, number>> | null;
  /** The maximum of the floors that were told with its pages. */
  readonly floor: number;
  readonly cursors: Readonly<Record<string, BackfillCursor>>;
  /** Records that the last server told, of all models. */
  readonly total: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

/** How far a model has come. */
export interface BackfillCursor {
  /** What is not here yet, in order; empty: the model is complete. */
  readonly open: readonly Stretch[];
  /** Records that have come. */
  readonly done: number;
}

const START: BackfillCursor = { open: WHOLE, done: 0 };

/** Models have the names that peers give them, `constructor` included. */
export function cursorOf({ cursors }: Pick<BackfillRecord, "cursors">, model: string): BackfillCursor {
  return Object.hasOwn(cursors, model) ? cursors[model]! : START;
}

export function loadBackfill(db: Sqlite): BackfillRecord | null {
  const row = prepared(db, "SELECT mode, noted, floor, cursors, total, started FROM tidemark_backfill").get() as
    | { mode: BackfillMode; noted: string | null; floor: number; cursors: string; total: number; started: number }
    | undefined;
  if (row === undefined) return null;
  return {
    mode: row.mode,
    noted: row.noted === null ? null : (JSON.parse(row.noted) as Record<string, number>),
    floor: row.floor,
    cursors: JSON.parse(row.cursors) as Record<string, BackfillCursor>,
    total: row.total,
    startedAt: row.started,
  };
}

export function saveBackfill(db: Sqlite, record: Pick<BackfillRecord, "noted" | "floor" | "cursors" | "total">): void {
  prepared(db, "UPDATE tidemark_backfill SET noted = ?, floor = ?, cursors = ?, total = ?").run(
    record.noted === null ? null : JSON.stringify(record.noted),
    record.floor,
    JSON.stringify(record.cursors),
    record.total,
  );
}

export function endBackfill(db: Sqlite): void {
  prepared(db, "DELETE FROM tidemark_backfill").run();
  prepared(db, "UPDATE tidemark_state SET ready = 1").run();
}
