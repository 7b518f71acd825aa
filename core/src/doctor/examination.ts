import { isTidemarkError } from "@tidemark/plugin-api";
import type { Diagnosis, Finding, Severity } from "../kernel/diagnosis.js";
import type { LocalLibrary } from "../replication/local-library.js";
import type { Sqlite } from "../storage/database.js";
import { ReadingSlices } from "../storage/reading-slices.js";

/**
 * One visit of the doctor: what the single examinations look at, and where they write down what they find. They only
 * read, each from snapshots of its own, and in slices.
 */
export interface Patient {
  readonly library: LocalLibrary;
  /** The application's connection: its settings are looked at, nothing is read through it. */
  readonly application: Sqlite;
  /** Path of the database file. */
  readonly file: string;
}

/** What mends sync tables that contradict themselves. */
export const RESET_ADVICE =
  "Call resetSyncState(): it keeps every record and comes back to the library as a new member";

/** Identities that a finding names. */
const EXAMPLES = 5;
const ORDER: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

export class Examination {
  readonly patient: Patient;
  readonly examined: { -readonly [Name in keyof Diagnosis["examined"]]: number } = {
    tables: 0,
    rows: 0,
    logEntries: 0,
    parkedRecords: 0,
    members: 0,
  };
  readonly #findings: Finding[] = [];

  constructor(patient: Patient) {
    this.patient = patient;
  }

  /** The worst first, otherwise in the order in which they were found. */
  get findings(): readonly Finding[] {
    return this.#findings.slice().sort((a, b) => ORDER[a.severity] - ORDER[b.severity]);
  }

  find(finding: Omit<Finding, "model" | "count" | "examples"> & Partial<Finding>): void {
    const { model = null, count = 1, examples = [] } = finding;
    this.#findings.push({ ...finding, model, count, examples: examples.slice(0, EXAMPLES) });
  }

  /**
   * Runs one examination. What is damaged so much that it can't be looked at is a finding like others, and no reason to
   * leave the rest alone.
   */
  async attempt(subject: string, examine: (examination: Examination) => Promise<void>): Promise<void> {
    try {
      await examine(this);
    } catch (error) {
      // Those say by themselves what to do, as when the kernel stops meanwhile.
      if (isTidemarkError(error)) throw error;
      this.find({
        severity: "error",
        code: "not-examined",
        what: `${subject} can't be examined`,
        why: `a table is gone, or what is in it makes no sense (${error instanceof Error ? error.message : String(error)})`,
        advice:
          "Restart the application, which compares its tables with its models. If that does not help, call resetSyncState(); if that fails as well, call uninstall() and start again: both keep every record, and the device joins anew",
      });
    }
  }

  /** Reads from one snapshot; `slices.pause()` gives the loop its turn. */
  async read<T>(holder: string, read: (db: Sqlite, slices: ReadingSlices) => Promise<T>): Promise<T> {
    const { pool, clock } = this.patient.library.deps;
    return await pool.withReader(`doctor: ${holder}`, async (db) => {
      db.exec("BEGIN");
      try {
        return await read(db, new ReadingSlices({ clock }));
      } finally {
        if (db.inTransaction) db.exec("COMMIT");
      }
    });
  }
}

/** Counts what is alike, and keeps the first few names of it. */
export class Tally {
  count = 0;
  readonly examples: string[] = [];

  add(name: string): void {
    this.count += 1;
    if (this.examples.length < EXAMPLES) this.examples.push(name);
  }
}

/** "1 record", "2 records" */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** The verb for so many of something. */
export function are(count: number): string {
  return count === 1 ? "is" : "are";
}

/** A length of time in words that say enough. */
export function lasting(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1) return "less than a minute";
  if (minutes < 120) return counted(minutes, "minute");
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`;
}
