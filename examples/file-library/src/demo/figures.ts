/**
 * What a device counts of its own synchronization, for the summary: plain numbers, so that they can be added up over all
 * processes that the device has had.
 */
export interface DeviceFigures {
  /** Records that came from the other device and changed something here. */
  readonly received: number;
  readonly references: ReferenceFigures;
  readonly log: LogFigures;
  readonly catchUps: CatchUpFigures;
  readonly backfill: BackfillFigures;
  /** Null while nobody measures. */
  readonly pool: PoolFigures | null;
  /** Null while nobody judges. */
  readonly health: HealthFigures | null;
}

export interface ReferenceFigures {
  /** Look-ups that the kernel made by itself, one reference at a time. */
  readonly lookups: number;
  /** Look-ups that it was spared, at least, because fk-batching had resolved the references. */
  readonly spared: number;
  /** Queries of fk-batching, each for many references. */
  readonly queries: number;
}

export interface LogFigures {
  /** The largest that was seen; looked at a few times a second. */
  readonly largestEntries: number;
  /** Of all sync tables. */
  readonly largestBytes: number;
  readonly prunedEntries: number;
  readonly erasedRecords: number;
}

export interface CatchUpFigures {
  readonly failed: number;
  /** What was decided about the failures, by the plugin backoff and by the kernel itself. */
  readonly decidedByBackoff: number;
  readonly decidedByKernel: number;
  /** Of all these decisions, those that were not just to try again. */
  readonly fullBackfills: number;
  readonly givenUp: number;
  readonly longestDelayMs: number;
}

/** Of all backfills together; a device that was killed in the midst of one goes on with it. */
export interface BackfillFigures {
  readonly pages: number;
  readonly records: number;
  readonly durationMs: number;
}

export interface PoolFigures {
  readonly limit: number;
  readonly peak: number;
  readonly longestWaitMs: number;
  readonly timeouts: number;
}

export type HealthStatus = "ok" | "degraded" | "failing";

export interface HealthFigures {
  readonly now: HealthStatus;
  readonly worst: HealthStatus;
  /** Why it was last not ok; empty if it always was. */
  readonly reason: string;
}

export const NO_FIGURES: DeviceFigures = {
  received: 0,
  references: { lookups: 0, spared: 0, queries: 0 },
  log: { largestEntries: 0, largestBytes: 0, prunedEntries: 0, erasedRecords: 0 },
  catchUps: { failed: 0, decidedByBackoff: 0, decidedByKernel: 0, fullBackfills: 0, givenUp: 0, longestDelayMs: 0 },
  backfill: { pages: 0, records: 0, durationMs: 0 },
  pool: null,
  health: null,
};

const SEVERITY: Readonly<Record<HealthStatus, number>> = { ok: 0, degraded: 1, failing: 2 };

export function worseOf(a: HealthStatus, b: HealthStatus): HealthStatus {
  return SEVERITY[b] > SEVERITY[a] ? b : a;
}

/** The figures of a device over two stretches of its life, the later one second. */
export function addFigures(earlier: DeviceFigures, later: DeviceFigures): DeviceFigures {
  const { references: r1, log: l1, catchUps: c1, backfill: b1 } = earlier;
  const { references: r2, log: l2, catchUps: c2, backfill: b2 } = later;
  return {
    received: earlier.received + later.received,
    references: {
      lookups: r1.lookups + r2.lookups,
      spared: r1.spared + r2.spared,
      queries: r1.queries + r2.queries,
    },
    log: {
      largestEntries: Math.max(l1.largestEntries, l2.largestEntries),
      largestBytes: Math.max(l1.largestBytes, l2.largestBytes),
      prunedEntries: l1.prunedEntries + l2.prunedEntries,
      erasedRecords: l1.erasedRecords + l2.erasedRecords,
    },
    catchUps: {
      failed: c1.failed + c2.failed,
      decidedByBackoff: c1.decidedByBackoff + c2.decidedByBackoff,
      decidedByKernel: c1.decidedByKernel + c2.decidedByKernel,
      fullBackfills: c1.fullBackfills + c2.fullBackfills,
      givenUp: c1.givenUp + c2.givenUp,
      longestDelayMs: Math.max(c1.longestDelayMs, c2.longestDelayMs),
    },
    backfill: {
      pages: b1.pages + b2.pages,
      records: b1.records + b2.records,
      durationMs: b1.durationMs + b2.durationMs,
    },
    pool: addPools(earlier.pool, later.pool),
    health: addHealth(earlier.health, later.health),
  };
}

function addPools(earlier: PoolFigures | null, later: PoolFigures | null): PoolFigures | null {
  if (earlier === null || later === null) return later ?? earlier;
  return {
    limit: later.limit,
    peak: Math.max(earlier.peak, later.peak),
    longestWaitMs: Math.max(earlier.longestWaitMs, later.longestWaitMs),
    timeouts: earlier.timeouts + later.timeouts,
  };
}

function addHealth(earlier: HealthFigures | null, later: HealthFigures | null): HealthFigures | null {
  if (earlier === null || later === null) return later ?? earlier;
  return {
    now: later.now,
    worst: worseOf(earlier.worst, later.worst),
    reason: later.reason === "" ? earlier.reason : later.reason,
  };
}
