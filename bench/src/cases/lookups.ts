import { type BenchCase, valueBelow } from "../case.js";
import { backfillRuns } from "../experiments/backfill-runs.js";
import { largeLibrary } from "../experiments/large-library.js";

const REFERENCES_PER_ENTRY = 3;

/** How many queries it takes to find what the references of the library refer to. */
export const lookups: BenchCase = {
  name: "lookups",
  work: "reference queries of the receiver during backfill; baseline: one for each reference",
  parts: [{ name: "queries", unit: "queries", target: valueBelow(600, "queries") }],
  run: async (bench) => {
    const library = largeLibrary(bench);
    return (await backfillRuns(bench, library)).map(({ receiver }) => ({
      queries: { value: receiver.referenceQueries, baseline: library.entries * REFERENCES_PER_ENTRY },
    }));
  },
};
