import type { Bench } from "./bench.js";
import type { BenchCase } from "./case.js";
import { type CaseResult, resultOf } from "./results.js";

/** Measures the cases one after the other. What fails ends the run: half of a table would be read as the whole. */
export async function runCases(bench: Bench, cases: readonly BenchCase[]): Promise<Record<string, CaseResult>> {
  const results: Record<string, CaseResult> = {};
  try {
    for (const it of cases) {
      bench.say(it.name);
      results[it.name] = resultOf(it, await it.run(bench));
    }
  } finally {
    await bench.endAll();
  }
  return results;
}
