import type { Bench } from "../bench.js";
import { type BenchCase, type Run, ratioAtLeast } from "../case.js";
import type { BackfillRun } from "../experiments/backfill-runs.js";
import { backfillRuns } from "../experiments/backfill-runs.js";
import { emptyPlace } from "../experiments/databases.js";
import { largeLibrary } from "../experiments/large-library.js";
import { repeat } from "../experiments/repeat.js";

/** What the ORM would take, had one written it all by hand with it. */
export const orm: BenchCase = {
  name: "orm",
  work: "backfill; baseline: TypeORM's findOneBy for each reference and save, 500 a transaction, on a part of the rows",
  parts: [{ name: "rate", unit: "rows/s", target: ratioAtLeast(25) }],
  run: async (bench) => {
    const runs = await backfillRuns(bench, largeLibrary(bench));
    return await repeat(bench, "saving by TypeORM", (run) => save(bench, runs[run - 1]!));
  },
};

async function save(bench: Bench, { bare, durationMs }: BackfillRun): Promise<Run> {
  const process = bench.rows("orm");
  const saved = await process.ask("orm", {
    file: await emptyPlace(bench),
    dataset: largeLibrary(bench),
    rows: bench.pick({ full: 30_000, quick: 6_000, tiny: 200 }),
  });
  await process.end();
  return {
    rate: { value: (bare.rows * 1_000) / durationMs, baseline: (saved.rows * 1_000) / saved.durationMs },
  };
}
