import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";

// The tests that mutants meet: those of the parts themselves. Random runs and whole devices are left out, because each
// takes seconds, and a mutant is to be killed by a test that says what is wrong.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: [
      "core/src/clock/hybrid-logical-clock.test.ts",
      "core/src/replication/{record-state,stable-point,backfill-ranges,backfill-plan,pages,apply,write-rows}.test.ts",
    ],
  },
});
