// What `tidemark.verify` and its repair tell: plain data, for programs and for people.

import type { ParkedKind } from "@tidemark/plugin-api";

/** What is to be compared, and what is to be done about it. */
export interface VerifyOptions {
  /** Wire names; default: all models. */
  readonly models?: readonly string[];
  /** So many differing records are named per model: 1 to 10,000. Default 100. */
  readonly maxDifferences?: number;
  /**
   * `take-theirs`: the records that are named are fetched from the peer, and its values replace those here, where the log
   * does not say that this device has the later change. What only this device has and no log remembers is removed.
   * Nothing is sent: other devices with the same fault are repaired by a call of their own.
   *
   * `give-mine`: the rows here are issued as changes of this device, which every device gets. What only the peer has, and
   * what another device owns, is fetched from the peer: nothing tells whether it was deleted here. The kernel does this by
   * itself with models whose writes may have gone unseen. Default: nothing is changed.
   */
  readonly repair?: "take-theirs" | "give-mine";
}

/** The outcome of a comparison with one peer. */
export interface Verification {
  /** The peer's origin id. */
  readonly peer: string;
  readonly deviceId: string;
  /**
   * `different` if any model is. `not-comparable` if none is, but some could not be compared: that is no sign of a fault.
   */
  readonly outcome: "equal" | "different" | "not-comparable";
  readonly models: readonly ModelVerification[];
  /** `null` if no repair was asked for. */
  readonly repair: Repair | null;
  readonly durationMs: number;
  /** What to do, for people. */
  readonly advice: string;
}

/** The comparison of one model: of the records that are in its table, as digests of their wire form. */
export interface ModelVerification {
  /** Wire name. */
  readonly model: string;
  readonly outcome: "equal" | "different" | "not-comparable";
  /**
   * Why not all of it could be compared: `busy` if one of the two was not at rest for long enough, `version` if the peer
   * does not have the same columns; else `null`.
   */
  readonly notComparable: "busy" | "version" | null;
  /** The same for people. */
  readonly reason: string | null;
  /** How many records were compared. */
  readonly recordsHere: number;
  readonly recordsThere: number;
  /** The first ranges of identities that differ, in their order; at most 100. */
  readonly ranges: readonly DifferingRange[];
  readonly rangesInAll: number;
  /** The first records that differ, in the order of their identities within each range. */
  readonly differences: readonly RecordDifference[];
  /** Whether there are more than are named. */
  readonly more: boolean;
}

/** From `after` (exclusive; `null`: the first record) to `upTo` (inclusive; `null`: the last one). */
export interface DifferingRange {
  readonly after: string | null;
  readonly upTo: string | null;
}

/** A record that is not the same on both devices. */
export interface RecordDifference {
  /** Its identity. */
  readonly record: string;
  readonly kind: "only-here" | "only-there" | "other-values";
  /** Why the record is not, or not wholly, in its table here, if that is known. This alone may explain the difference. */
  readonly parkedHere: ParkedKind | null;
  readonly parkedThere: ParkedKind | null;
}

/** What a repair did with the records that were named. */
export interface Repair {
  /** Issued as changes of this device. */
  readonly given: number;
  /** Replaced by what the peer has. */
  readonly taken: number;
  /** Removed, because the peer does not have them. */
  readonly removed: number;
  /** Left as they were: this device's log has a later change of them than the peer, or they are parked on one side. */
  readonly left: number;
}
