import { type BenchCase, valueBelow } from "../case.js";
import { backfillRuns } from "../experiments/backfill-runs.js";
import { largeLibrary } from "../experiments/large-library.js";

const MB = 1e6;

/** How much memory a device needs to take in the library, above what it needs to do nothing. */
export const memory: BenchCase = {
  name: "memory",
  work: "highest resident memory of the receiver during backfill, above an idle device; baseline: the idle device",
  parts: [{ name: "peak", unit: "MB", target: valueBelow(100, "MB") }],
  run: async (bench) =>
    (await backfillRuns(bench, largeLibrary(bench))).map(({ receiver, idleRssBytes }) => ({
      peak: { value: (receiver.peakRssBytes - idleRssBytes) / MB, baseline: idleRssBytes / MB },
    })),
};
