import { type BenchCase, ratioAtMost } from "../case.js";
import { backfillRuns } from "../experiments/backfill-runs.js";
import { largeLibrary } from "../experiments/large-library.js";

const MB = 1e6;

/** What is left of synchronization in the file when there is nothing to synchronize. */
export const disk: BenchCase = {
  name: "disk",
  work: "the larger of both files after a backfill and some edits, all acknowledged and pruned; baseline: plain tables",
  parts: [{ name: "file", unit: "MB", target: ratioAtMost(1.02) }],
  run: async (bench) =>
    (await backfillRuns(bench, largeLibrary(bench))).map(({ fileBytes, bare }) => ({
      file: { value: fileBytes / MB, baseline: bare.fileBytes / MB },
    })),
};
