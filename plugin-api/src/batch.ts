/** Where a batch comes from. */
export type ReplicationPhase = "backfill" | "catch-up" | "live";

/** A value as it travels: JSON, exact. See `docs/protocol.md`, "Values". */
export type WireValue = null | number | string | boolean | { readonly [tag: string]: unknown };

/** What is known of the target of a reference. `undefined` on a reference means: nobody has looked yet. */
export type ReferenceResolution =
  /** The target is here, under this local primary key (a number, or a uuid or other text). */
  | { readonly kind: "found"; readonly localKey: number | bigint | string }
  /** The target is not here. A normal outcome: the record may come first. */
  | { readonly kind: "missing" };

/** One reference of one operation, by the identity of its target. */
export interface OperationReference {
  /** The column's wire name. */
  readonly column: string;
  /** The model that it refers to, by wire name. */
  readonly targetModel: string;
  /** The identity of the target. */
  readonly identity: string;
  readonly required: boolean;
  readonly resolution?: ReferenceResolution;
}

/** One record of a received batch, before it is merged. */
export interface Operation {
  /** Unique within its batch. */
  readonly id: number;
  readonly model: string;
  /** The identity of the record. */
  readonly record: string;
  readonly kind: "upsert" | "delete";
  /** Column wire name → wire value, for the columns that came. Frozen; what a transform writes elsewhere is not applied. */
  readonly values: Readonly<Record<string, WireValue>>;
  readonly references: readonly OperationReference[];
}

/** What is known of targets: model wire name → identity → resolution. */
export type BatchResolutions = ReadonlyMap<string, ReadonlyMap<string, ReferenceResolution>>;

/** The records of one model that the references of a batch go to. */
export interface BatchTargets {
  /** Wire name. */
  readonly targetModel: string;
  /** Identity of the target → how many references of the batch go to it. */
  readonly references: ReadonlyMap<string, number>;
  /** Those of them that come in the same batch. They may have been here before. */
  readonly inBatch: ReadonlySet<string>;
}

/**
 * A received, decoded and validated batch. `operations` and `targets` are made when they are first read, which takes
 * time with large batches: a transform that only resolves references reads `targets` alone.
 */
export interface ApplyBatch {
  /** Unique within the life of the process. */
  readonly id: number;
  /** The origin id of the member that sent it. */
  readonly peer: string;
  readonly phase: ReplicationPhase;
  readonly operations: readonly Operation[];
  /** Where the references go that nobody has resolved yet, each target once. Nulls and deleted records have none. */
  readonly targets: readonly BatchTargets[];
  /** What transforms have found out about targets. The references of `operations` say the same. */
  readonly resolutions: BatchResolutions;
  /** Named by a transform: kept durably, counted as had, relayed, and tried again later. */
  readonly deferred: readonly OperationOutcome[];
  /** Named by a transform: quarantined with the reason; kept, counted as had and relayed, but not in the table. */
  readonly rejected: readonly OperationOutcome[];
}

/** What a transform returns: a whole batch, or only what it changes. */
export interface ApplyBatchChange {
  /** Absent: those that were given, less those that `deferred` or `rejected` name. */
  readonly operations?: readonly Operation[];
  /**
   * Added to those that were given; may name targets that the batch does not have. To be looked up within the call: the
   * kernel looks them up anew if somebody has committed since the batch was given, and trusts them otherwise.
   */
  readonly resolutions?: BatchResolutions;
  /** Absent: as they were given. */
  readonly deferred?: readonly OperationOutcome[];
  /** Absent: as they were given. */
  readonly rejected?: readonly OperationOutcome[];
}

/** What a transform says of one operation that is not to be applied now. */
export interface OperationOutcome {
  /** The operation's id. */
  readonly id: number;
  readonly reason: string;
}

/** Counts of what became of the records of a batch. Every record is counted once, but for `conflicts`, which come on top. */
export interface BatchCounts {
  /** Changed something in a table. */
  readonly applied: number;
  /** Brought nothing newer than what was here. */
  readonly superseded: number;
  /** Removed from its table, or kept out, because a required reference does not hold. */
  readonly parked: number;
  /** Refused by the local schema. */
  readonly quarantined: number;
  /** Rejected by a transform, and quarantined for that. */
  readonly rejected: number;
  /** Kept for later: too far in the future, or deferred by a transform. */
  readonly deferred: number;
  /**
   * Records of which a change met one that was made on this device, neither maker having known of the other, so that one of
   * the two came to nothing. Of the two devices at least one sees it, often both. A backfill tells of none.
   */
  readonly conflicts: number;
}

/** A batch after its commit. */
export interface AppliedBatch {
  readonly id: number;
  readonly peer: string;
  readonly phase: ReplicationPhase;
  readonly counts: BatchCounts;
  /** The counts by model wire name. */
  readonly models: Readonly<Record<string, BatchCounts>>;
  /** Time from BEGIN of its first slice to COMMIT of its last, waits included, in milliseconds. */
  readonly durationMs: number;
  /** Reference look-ups that the kernel made by itself, because no transform had resolved them. */
  readonly referenceLookups: number;
  /** True when this batch ended a round or a backfill, so that the vector moved with it. */
  readonly vectorMoved: boolean;
}
