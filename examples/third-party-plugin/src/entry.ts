// What is remembered: plain JSON, one line each. Durations are in milliseconds.

import type { BatchCounts, HookName, ReplicationPhase } from "@tidemark/plugin-api";

/** A received batch was applied. */
export interface BatchEntry {
  readonly kind: "batch";
  readonly peer: string;
  readonly phase: ReplicationPhase;
  readonly counts: BatchCounts;
  readonly durationMs: number;
}

/** A round, a join or a backfill with a peer has failed. */
export interface FailureEntry {
  readonly kind: "failure";
  readonly peer: string;
  readonly phase: ReplicationPhase;
  /** How many in a row, this one included. */
  readonly failures: number;
  readonly code: string;
  readonly reason: string;
}

/** What is done about it, and which plugin says so; `kernel` when none had an opinion. */
export interface DecisionEntry {
  readonly kind: "decision";
  readonly peer: string;
  readonly action: "retry" | "full-backfill" | "give-up";
  readonly decidedBy: string;
  readonly delayMs?: number;
  readonly reason?: string;
}

/** Somebody waits for a database connection, or few are left. */
export interface PressureEntry {
  readonly kind: "pressure";
  readonly active: number;
  readonly limit: number;
  readonly waiting: number;
  readonly longestWaitMs: number;
  readonly holders: readonly string[];
  readonly advisedBy: readonly string[];
}

/** A plugin's hook took long, or failed. */
export interface HookEntry {
  readonly kind: "hook";
  readonly plugin: string;
  readonly hook: HookName;
  readonly outcome: "ok" | "failed" | "timed-out";
  readonly durationMs: number;
}

export type Entry = BatchEntry | FailureEntry | DecisionEntry | PressureEntry | HookEntry;

/** An entry with its place in the recording. */
export type RecordedEntry = Entry & {
  /** Counts from 1 over all kinds. */
  readonly number: number;
  /** ISO 8601. */
  readonly at: string;
};
