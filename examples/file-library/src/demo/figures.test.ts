import { describe, expect, it } from "vitest";
import { addFigures, type DeviceFigures, NO_FIGURES } from "./figures.js";

const earlier: DeviceFigures = {
  received: 5,
  references: { lookups: 1, spared: 20, queries: 3 },
  log: { largestEntries: 90, largestBytes: 1_000, prunedEntries: 80, erasedRecords: 1 },
  catchUps: { failed: 2, decidedByBackoff: 2, decidedByKernel: 0, fullBackfills: 1, givenUp: 0, longestDelayMs: 500 },
  backfill: { pages: 3, records: 4_000, durationMs: 900 },
  pool: { limit: 10, peak: 4, longestWaitMs: 20, timeouts: 1 },
  health: { now: "failing", worst: "failing", reason: "B lags behind" },
};
const later: DeviceFigures = {
  received: 7,
  references: { lookups: 2, spared: 30, queries: 4 },
  log: { largestEntries: 50, largestBytes: 2_000, prunedEntries: 70, erasedRecords: 0 },
  catchUps: { failed: 1, decidedByBackoff: 0, decidedByKernel: 1, fullBackfills: 0, givenUp: 1, longestDelayMs: 250 },
  backfill: { pages: 1, records: 500, durationMs: 100 },
  pool: { limit: 30, peak: 2, longestWaitMs: 40, timeouts: 0 },
  health: { now: "ok", worst: "degraded", reason: "" },
};

describe("the figures of a device over two stretches", () => {
  it("are counts added up, and the largest of what was largest", () => {
    expect(addFigures(earlier, later)).toEqual({
      received: 12,
      references: { lookups: 3, spared: 50, queries: 7 },
      log: { largestEntries: 90, largestBytes: 2_000, prunedEntries: 150, erasedRecords: 1 },
      catchUps: {
        failed: 3,
        decidedByBackoff: 2,
        decidedByKernel: 1,
        fullBackfills: 1,
        givenUp: 1,
        longestDelayMs: 500,
      },
      backfill: { pages: 4, records: 4_500, durationMs: 1_000 },
      pool: { limit: 30, peak: 4, longestWaitMs: 40, timeouts: 1 },
      health: { now: "ok", worst: "failing", reason: "B lags behind" },
    });
  });

  it("are those of one where the other has none", () => {
    expect(addFigures(earlier, NO_FIGURES)).toEqual(earlier);
    expect(addFigures(NO_FIGURES, later)).toEqual(later);
  });
});
