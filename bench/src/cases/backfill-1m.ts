import { type BenchCase, ratioAtLeast, ratioAtMost } from "../case.js";
import { backfillRuns } from "../experiments/backfill-runs.js";

const MB = 1e6;
/** A million takes a while, and what it should show does not need many runs. */
const RUNS_AT_MOST = 3;

/** Whether a library that is ten times as large costs ten times as much, and no more memory. */
export const backfillMillion: BenchCase = {
  name: "backfill-1m",
  work: "a million entries; baseline: a hundred thousand",
  parts: [
    { name: "rate", unit: "rows/s", target: ratioAtLeast(0.8) },
    { name: "peak memory", unit: "MB", target: ratioAtMost(1.2) },
  ],
  run: async (bench) => {
    const entries = bench.pick({ full: 1_000_000, quick: 50_000, tiny: 1_000 });
    const count = Math.min(bench.runs, RUNS_AT_MOST);
    const small = await backfillRuns(bench, { entries: entries / 10, ids: "time-ordered" }, count);
    const large = await backfillRuns(bench, { entries, ids: "time-ordered" }, count);
    return large.map(({ bare, durationMs, receiver }, index) => {
      const other = small[index]!;
      return {
        rate: { value: (bare.rows * 1_000) / durationMs, baseline: (other.bare.rows * 1_000) / other.durationMs },
        "peak memory": { value: receiver.peakRssBytes / MB, baseline: other.receiver.peakRssBytes / MB },
      };
    });
  },
};
