// Mutation testing of the parts on which everything rests: `npm run mutation`. Each mutant runs only the tests that reach
// it, on the sources, like every other test. A survivor is a change of behaviour that no test notices.
/** @type {import("@stryker-mutator/api/core").PartialStrykerOptions} */
export default {
  testRunner: "vitest",
  vitest: { configFile: "vitest.mutation.config.ts", related: false },
  mutate: [
    "core/src/clock/hybrid-logical-clock.ts",
    "core/src/replication/record-state.ts",
    "core/src/replication/stable-point.ts",
    "core/src/replication/backfill-ranges.ts",
    "core/src/replication/backfill-plan.ts",
    "core/src/replication/change-page.ts",
    "core/src/replication/change-stream.ts",
    "core/src/replication/working-set.ts",
    "core/src/replication/apply.ts",
    "core/src/replication/write-rows.ts",
    "core/src/replication/newcomers.ts",
    "core/src/replication/insert-block.ts",
    "core/src/replication/targets-first.ts",
    "core/src/replication/apply-batch.ts",
    "core/src/replication/backfill-apply.ts",
    "core/src/replication/column-packing.ts",
    "core/src/storage/outbox-slices.ts",
  ],
  coverageAnalysis: "perTest",
  concurrency: 2,
  // What a failed run leaves holds copies of the documents, which a test would look through.
  cleanTempDir: "always",
  // Its way of reading a tsconfig.json needs the API of older compilers; the tests read none.
  tsconfigFile: "none",
  timeoutMS: 10_000,
  ignorePatterns: ["**/dist", "bench/results", "examples", "**/*.tsbuildinfo"],
  reporters: ["clear-text", "progress", "json"],
  jsonReporter: { fileName: "reports/mutation.json" },
  thresholds: { high: 95, low: 85, break: 85 },
};
