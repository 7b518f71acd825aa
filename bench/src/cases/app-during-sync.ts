import { type BenchCase, ratioAtMost } from "../case.js";
import { loadedRuns } from "../experiments/backfill-runs.js";
import { largeLibrary } from "../experiments/large-library.js";

/** What the application's users feel of a backfill. */
export const appDuringSync: BenchCase = {
  name: "app-during-sync",
  work: "point reads and small writes through TypeORM during backfill, the worse of both devices; baseline: afterwards",
  parts: [{ name: "p99", unit: "ms", target: ratioAtMost(5) }],
  run: async (bench) =>
    (await loadedRuns(bench, largeLibrary(bench))).map(({ during, idle }) => ({
      p99: { value: during.p99Ms, baseline: idle.p99Ms },
    })),
};
