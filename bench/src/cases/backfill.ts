import { type BenchCase, ratioAtMost } from "../case.js";
import { backfillRuns } from "../experiments/backfill-runs.js";
import { largeLibrary } from "../experiments/large-library.js";

/** How long it takes until a second device has the whole library, against inserting the same rows by hand. */
export const backfill: BenchCase = {
  name: "backfill",
  work: "the large library to an empty device, two processes; baseline: prepared inserts of the same rows",
  parts: [{ name: "time", unit: "ms", target: ratioAtMost(1.5) }],
  run: async (bench) =>
    (await backfillRuns(bench, largeLibrary(bench))).map(({ durationMs, bare }) => ({
      time: { value: durationMs, baseline: bare.durationMs },
    })),
};
