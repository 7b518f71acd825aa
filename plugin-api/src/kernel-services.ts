import type { PeerState } from "./events.js";
import { createServiceToken } from "./services.js";

/** The local value that refers to a record: its integer key, or its identity where the key is the identity. */
export type LocalRecordKey = number | bigint | string;

/**
 * Translates between identities, which are the same on every device, and local keys, which are not. Each call is one
 * query for up to 5,000 records of one model, on a connection of the pool.
 */
export interface RecordKeys {
  /** The local keys of the records that have a row; the others are absent from the map. */
  localKeysFor(request: {
    /** Wire name. Throws `TIDEMARK_UNKNOWN_MODEL` for one that isn't registered. */
    readonly model: string;
    readonly identities: readonly string[];
  }): Promise<ReadonlyMap<string, LocalRecordKey>>;
  /** The identities of the rows with these local keys; the others are absent from the map. */
  identitiesFor(request: {
    readonly model: string;
    readonly keys: readonly LocalRecordKey[];
  }): Promise<ReadonlyMap<LocalRecordKey, string>>;
  /**
   * Whether the local key of the model is the identity itself, so that a reference to it needs no translation. Its target
   * may still be missing.
   */
  keyIsIdentity(model: string): boolean;
}

/** The kernel service behind batched reference look-ups. */
export const recordKeys = createServiceToken<RecordKeys>("kernel.record-keys");

/** Up to where every member of the library has everything. */
export interface StablePoint {
  /** As a time of the hybrid logical clock; what is stamped at or below it can be forgotten. */
  readonly hlc: number;
  /** The same in milliseconds since the epoch. */
  readonly atMs: number;
  /** Members that hold it back: those without a vector, or with the lowest entry, when something waits to be forgotten. */
  readonly heldBackBy: readonly StablePointBlocker[];
}

/** A member that keeps others from forgetting. */
export interface StablePointBlocker {
  /** Origin id. */
  readonly member: string;
  readonly deviceId: string;
  readonly name: string;
  /** Up to where it is known to have everything, in milliseconds since the epoch; null: it never said. */
  readonly acknowledgedUpToMs: number | null;
}

/** What pruning has removed, or would remove. */
export interface PruneResult {
  /** Stamps that were removed from the log, or would be. */
  readonly stamps: number;
  /** Hidden records that can never appear again and were erased, or would be. */
  readonly hiddenRecords: number;
  /** Whether something at or below the point is left, because `maxSlices` was reached. */
  readonly more: boolean;
  readonly point: StablePoint;
}

/** Acknowledging and forgetting. The kernel does neither by itself. */
export interface LogMaintenance {
  /**
   * Tells all connected peers, durably, up to where this device and others have everything. A peer hears nothing if this
   * is no more than it was told last, so devices that acknowledge whenever they were told something fall silent by
   * themselves. Best effort; rejects only while the kernel is not running.
   */
  acknowledge(): Promise<void>;
  stablePoint(): Promise<StablePoint>;
  /**
   * Forgets what every member has, in slices of a few milliseconds. `upToHlc` keeps what is younger; it can't go beyond
   * the stable point.
   */
  prune(options?: { readonly upToHlc?: number; readonly maxSlices?: number }): Promise<PruneResult>;
  /** What `prune` would do now; changes nothing. */
  dryRun(options?: { readonly upToHlc?: number }): Promise<PruneResult>;
  /** Gives free pages back to the file system, where the application has chosen `auto_vacuum`. Pages given back. */
  compact(): Promise<number>;
  /**
   * After so many milliseconds without a word a member lapses, and nobody waits for it: `membership.maxOfflineMs`. Known
   * while plugins are activated, for settings that may not contradict it.
   */
  readonly maxOfflineMs: number;
  /** Entries in the log and bytes in all sync tables. */
  size(): Promise<{ readonly logEntries: number; readonly bytes: number }>;
}

/** The kernel service behind acknowledgement and pruning. */
export const logMaintenance = createServiceToken<LogMaintenance>("kernel.log-maintenance");

/** What is known of the other members, for figures. */
export interface PeerFigures {
  readonly peer: string;
  readonly deviceId: string;
  readonly name: string;
  readonly state: PeerState;
  readonly connected: boolean;
  readonly failures: number;
  /** Log entries here that the peer is not known to have. */
  readonly pending: number;
  /** Age of the oldest of them in milliseconds; 0 when there are none. */
  readonly lagMs: number;
}

/**
 * Why a record is not, or not wholly, in its table:
 * - `hidden`: a required reference does not hold;
 * - `quarantined`: the local schema refuses the row (or a transform rejected it);
 * - `deferred`: a transform asked for a later try;
 * - `dead`: a deleted record that keeps columns which were edited by somebody who did not know of the delete;
 * - `foreign`: of a model that this version of the application does not have.
 *
 * All of them are in the log, and are relayed and served like any other record.
 */
export type ParkedKind = "hidden" | "quarantined" | "deferred" | "dead" | "foreign";

/** Figures that are counted when they are asked for. */
export interface SyncFigures {
  peers(): Promise<readonly PeerFigures[]>;
  parked(): Promise<Readonly<Record<ParkedKind, { readonly count: number; readonly oldestMs: number }>>>;
}

/** The kernel service behind figures that no event carries. */
export const syncFigures = createServiceToken<SyncFigures>("kernel.sync-figures");
