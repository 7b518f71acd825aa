// What `tidemark.doctor` tells: plain data for programs, and words for people.

/** What a finding is about. Test for it, never for the text. */
export const FINDING_CODES = [
  "dangling-references",
  "unfit-identities",
  "capture-gap",
  "application-trigger",
  "records-missing",
  "records-not-deleted",
  "records-in-two-places",
  "leftovers",
  "log-damaged",
  "hidden-records",
  "quarantined-records",
  "deferred-records",
  "foreign-records",
  "records-to-restore",
  "changes-from-the-future",
  "clock-ahead",
  "vectors-damaged",
  "gone-back-in-time",
  "not-joined",
  "no-member-any-more",
  "backfilling",
  "pruning-held-back",
  "peer-given-up",
  "peer-failing",
  "large-sync-tables",
  "backlog",
  "long-journal",
  "large-wal",
  "little-disk-space",
  "unsafe-settings",
  "not-examined",
] as const;

/** @see FINDING_CODES */
export type FindingCode = (typeof FINDING_CODES)[number];

/**
 * `error`: something is wrong, and records may differ from those of other devices. `warning`: somebody should do something.
 * `info`: good to know.
 */
export type Severity = "error" | "warning" | "info";

/** One thing that was found. */
export interface Finding {
  readonly severity: Severity;
  readonly code: FindingCode;
  /** What it is, why it is so, and what to do; for people. */
  readonly what: string;
  readonly why: string;
  readonly advice: string;
  /** Wire name; `null` where it is about none, or about several. */
  readonly model: string | null;
  /** How many: records, entries, members. */
  readonly count: number;
  /** The first few of them, by identity or name. */
  readonly examples: readonly string[];
}

/** What `doctor` has found. */
export interface Diagnosis {
  /** Whether there are no errors and no warnings. */
  readonly healthy: boolean;
  /** The worst first. */
  readonly findings: readonly Finding[];
  /** What was looked at, and how much of it. */
  readonly examined: {
    readonly tables: number;
    readonly rows: number;
    readonly logEntries: number;
    readonly parkedRecords: number;
    readonly members: number;
  };
  readonly durationMs: number;
}

const WORDS: Readonly<Record<Severity, string>> = { error: "ERROR", warning: "Warning", info: "Note" };

function of(count: number, one: string, more = `${one}s`): string {
  return `${count} ${count === 1 ? one : more}`;
}

/** A diagnosis as plain text, for a log, a terminal or a support request: it names identities, and no values. */
export function renderDiagnosis({ healthy, findings, examined, durationMs }: Diagnosis): string {
  const { tables, rows, logEntries, parkedRecords, members } = examined;
  const head = `${healthy ? "All is well" : "Something needs attention"}: looked at ${of(rows, "row")} in ${of(tables, "table")}, ${of(logEntries, "log entry", "log entries")}, ${of(parkedRecords, "parked record")} and ${of(members, "member")} in ${(durationMs / 1_000).toFixed(1)} s.`;
  const blocks = findings.map(({ severity, code, what, why, advice, examples }) =>
    [
      `${WORDS[severity]} (${code}): ${what}`,
      `  Why: ${why}.`,
      ...(examples.length === 0 ? [] : [`  For example: ${examples.join(", ")}`]),
      `  What to do: ${advice}.`,
    ].join("\n"),
  );
  return [head, ...blocks].join("\n\n");
}
