import { type BenchCase, ratioAtMost } from "../case.js";
import { backfillRuns } from "../experiments/backfill-runs.js";
import { largeLibrary } from "../experiments/large-library.js";

/** The same as `backfill`, where identities say nothing of the time: every unique index is hit at random. */
export const backfillRandomIds: BenchCase = {
  name: "backfill-random-ids",
  work: "the large library with uuid v4; baseline: prepared inserts of the same rows, in the order of their creation",
  parts: [{ name: "time", unit: "ms", target: ratioAtMost(1.5) }],
  run: async (bench) =>
    (await backfillRuns(bench, largeLibrary(bench, "random"))).map(({ durationMs, bare }) => ({
      time: { value: durationMs, baseline: bare.durationMs },
    })),
};
