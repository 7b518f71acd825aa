import type { Subscription } from "./disposable.js";
import { createServiceToken } from "./services.js";

/**
 * A stretch of a model in the order of identities, which is the same on every device: from `after` (exclusive; null: from
 * the first record) up to `upTo` (inclusive; null: to the last one).
 */
export interface BackfillRange {
  /** Wire name. */
  readonly model: string;
  readonly after: string | null;
  readonly upTo: string | null;
}

/**
 * A page that was fetched and is not applied yet: all that one peer has of a range. The range may be shorter than the one
 * that was asked for; then what is left of it is to be fetched by itself. What is in it stays in the kernel.
 */
export interface BackfillPage extends BackfillRange {
  /** Origin id of the peer that it comes from. */
  readonly peer: string;
  readonly records: number;
  /** As it travelled. */
  readonly sizeBytes: number;
}

/**
 * A backfill that is under way, as a {@link BackfillScheduler} sees it. The kernel keeps the account of what is here and
 * checks every page, so that a scheduler decides about speed and never about truth. Calls that can't be (a range that is
 * not open, a page twice, anything after the end) reject with `TIDEMARK_BACKFILL_CALL_REFUSED` and change nothing.
 */
export interface BackfillWork {
  /**
   * The models by level of the reference graph: records refer to records of earlier levels, or of their own. Any order is
   * right in the end; out of order, records wait (parked) for those that they refer to.
   */
  readonly levels: readonly (readonly string[])[];
  /** Records in a page at most: the kernel's `replication.pageRecords`. */
  readonly pageRecords: number;
  /**
   * Pages that may be asked for and not yet applied at once, as advised while the pool is under pressure; 1 or more, and
   * `Infinity` when there is no advice. It may change at any time.
   */
  readonly maxConcurrency: number;
  /** Aborted when the backfill is over: complete, failed, or the kernel stops. */
  readonly signal: AbortSignal;
  /** Origin ids of the peers that can serve now. The one that the backfill was begun with comes first, while it is there. */
  peers(): readonly string[];
  /** Called when a peer has come or gone. When the last one goes, the backfill fails, and is taken up again later. */
  onPeersChanged(listener: () => void): Subscription;
  /** What is not here yet of a model, in order; empty when the model is complete. */
  open(model: string): readonly BackfillRange[];
  /** Records of a model that are still to come, by what the first peer said; an estimate. */
  remaining(model: string): number;
  /**
   * Asks a peer where a range could be divided: the identity of every `every`-th record in it (1–10,000), in order, at most
   * `limit` of them (1–1,000). Empty for a range that is shorter than that, and for a model that is unknown here. Fails like
   * `fetch`.
   */
  bounds(request: {
    readonly peer: string;
    readonly range: BackfillRange;
    readonly every: number;
    readonly limit: number;
  }): Promise<readonly string[]>;
  /**
   * Fetches a page from the beginning of a range, which must be open, wholly or as part of an open one. `maxBytes` (1,024 or
   * more) makes the page end early where it would be larger; a single record that is larger travels alone. The first request
   * to a peer also asks what it has, and makes that part of the account.
   *
   * Rejects when the peer fails or refuses: then it is not among `peers()` any more, the kernel does what is to be done
   * about it, and the range stays open for others. At most 12 requests to one peer at once.
   */
  fetch(request: {
    readonly peer: string;
    readonly range: BackfillRange;
    readonly maxBytes?: number;
  }): Promise<BackfillPage>;
  /**
   * Applies a page of `fetch`, once, and in one transaction notes that its range is here. Pages are applied one after the
   * other, in the order of the calls. Rejects when it can't be applied, like `fetch`; then its range stays open.
   */
  apply(page: BackfillPage): Promise<void>;
}

/** Decides in which order, how many at a time, and from whom the pages of a backfill are fetched and applied. */
export interface BackfillScheduler {
  /**
   * Fetches and applies everything that is open. Rejecting with an error of `fetch` or `apply` fails the backfill as that
   * error would; it is taken up again where it stood. A scheduler that throws anything else, that returns while something
   * is open, or that has nothing under way for `replication.requestTimeoutMs`, fails it with
   * `TIDEMARK_BACKFILL_SCHEDULER_FAILED`, and the kernel's own takes its place until the next start.
   */
  run(work: BackfillWork): Promise<void>;
}

/**
 * The service by which a plugin takes the place of the kernel's own scheduler, which fetches page after page from one
 * peer, one ahead.
 */
export const backfillScheduler = createServiceToken<BackfillScheduler>("backfill.scheduler");
