import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";

// The tests that mutants meet: those of the parts themselves. Random runs and whole devices are left out, because each
// takes seconds, and a mutant is to be killed by a test that says what is wrong.
const replication = [
  "record-state,stable-point,backfill-ranges,backfill-plan,pages,change-stream",
  "apply,write-rows,newcomers,insert-block,targets-first,apply-batch,backfill-apply",
  "column-packing,wire-block",
];

export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: [
      "core/src/clock/hybrid-logical-clock.test.ts",
      "core/src/storage/outbox-slices.test.ts",
      `core/src/replication/{${replication}}.test.ts`,
    ],
    // Loading the modules anew for every file takes longer than the tests.
    isolate: false,
  },
});
