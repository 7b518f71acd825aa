import type { WireValue } from "@tidemark/plugin-api";
import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

/**
 * What a person may want to look at because it did not end up in a table: changes that were refused or overwritten.
 * Nothing is ever lost in silence; what loses is written here, with its values in wire form.
 */
export type JournalKind =
  | "refused-change"
  | "not-synced"
  | "overwritten-at-join"
  | "removed-by-backfill"
  | "overwritten-by-backfill"
  | "not-reissued"
  | "overwritten-by-return";

export interface JournalAddition {
  readonly at: number;
  readonly kind: JournalKind;
  readonly model: string;
  readonly record: string;
  readonly reason: string;
  /** By column wire name; null when there are none (a refused delete). */
  readonly values: Readonly<Record<string, WireValue>> | null;
}

export function addToJournal(db: Sqlite, entry: JournalAddition): void {
  prepared(db, "INSERT INTO tidemark_journal (at, kind, model, record, reason, vals) VALUES (?, ?, ?, ?, ?, ?)").run(
    Math.trunc(entry.at),
    entry.kind,
    entry.model,
    entry.record,
    entry.reason,
    entry.values === null ? null : JSON.stringify(entry.values),
  );
}

/** Newest first. */
export function readJournal(
  db: Sqlite,
  {
    kind = null,
    model = null,
    before = null,
    limit,
  }: {
    readonly kind?: string | null;
    readonly model?: string | null;
    /** Only entries older than the one with this id. */
    readonly before?: number | null;
    readonly limit: number;
  },
): readonly (Omit<JournalAddition, "kind"> & { readonly id: number; readonly kind: string })[] {
  const rows = prepared(
    db,
    `SELECT id, at, kind, model, record, reason, vals FROM tidemark_journal
     WHERE (? IS NULL OR kind = ?) AND (? IS NULL OR model = ?) AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?`,
  ).all(kind, kind, model, model, before, before, limit) as (Omit<JournalAddition, "values"> & {
    id: number;
    vals: string | null;
  })[];
  return rows.map(({ vals, ...row }) => ({
    ...row,
    values: vals === null ? null : (JSON.parse(vals) as Record<string, WireValue>),
  }));
}
