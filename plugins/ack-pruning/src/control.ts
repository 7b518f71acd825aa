// What the plugin offers to the application and to other plugins.

import { createServiceToken, type StablePointBlocker } from "@tidemark/plugin-api";

/** What a run of pruning would remove. */
export interface PruneForecast {
  /** Entries that would leave the log. */
  readonly stamps: number;
  /** Entries that would stay. */
  readonly staysInLog: number;
  /** Hidden records that can never appear again and would be erased. */
  readonly hiddenRecords: number;
  /** What happened up to then may go, in milliseconds since the epoch. */
  readonly upToMs: number;
  /** Members that hold the rest back. Empty when nobody does; the strategy may keep entries all the same. */
  readonly heldBackBy: readonly StablePointBlocker[];
}

/** What a run of pruning has removed. */
export interface PruneOutcome {
  readonly stamps: number;
  readonly hiddenRecords: number;
  /** Free pages that were given back to the file system; 0 unless the database uses `auto_vacuum = INCREMENTAL`. */
  readonly pagesGivenBack: number;
  readonly heldBackBy: readonly StablePointBlocker[];
  /** When it ended, in milliseconds since the epoch. */
  readonly atMs: number;
  readonly durationMs: number;
}

/** A member that has kept the others from forgetting for longer than `warnAfterMs`. */
export interface BlockingMember {
  /** Origin id. */
  readonly member: string;
  readonly deviceId: string;
  readonly name: string;
  /** When the oldest change was made that it is not known to have, in milliseconds since the epoch. */
  readonly sinceMs: number;
  /** Entries of the log that it is not known to have. */
  readonly pending: number;
}

/** Pruning by hand, and what became of it. */
export interface AckPruningControl {
  /** What would go now, and who holds the rest back. Changes nothing. Rejects while the kernel is not started. */
  dryRun(): Promise<PruneForecast>;
  /** Prunes now. Waits for a run that is under way. Rejects with the reason when it fails. */
  pruneNow(): Promise<PruneOutcome>;
  /** The last run that came to its end since the start; null when there was none. */
  lastResult(): PruneOutcome | null;
  /** Who has been blocking for longer than `warnAfterMs`, as of the last look, which is taken once in `intervalMs`. */
  blockedBy(): readonly BlockingMember[];
}

/** The service of this plugin. */
export const ackPruningControl = createServiceToken<AckPruningControl>("ack-pruning.control");
