import type { Bench } from "../bench.js";
import { type BenchCase, type Run, ratioAtMost, valueBelow } from "../case.js";
import { Pair } from "../experiments/pair.js";
import { repeat } from "../experiments/repeat.js";
import type { PruneInput } from "../processes/device-commands.js";

/** How a long log is forgotten: at a steady pace, and without holding up anybody. */
export const prune: BenchCase = {
  name: "prune",
  work: "forgetting a million log entries; baseline: the time for an entry of a log that is a quarter as long",
  parts: [
    { name: "an entry", unit: "µs", target: ratioAtMost(1.25) },
    { name: "longest slice", unit: "ms", target: valueBelow(10, "ms") },
  ],
  run: (bench) =>
    repeat(bench, "forgetting a long log", async () => {
      const entries = bench.pick({ full: 1_000_000, quick: 40_000, tiny: 400 });
      const quarter = await forget(bench, { entries: entries / 4, besideYounger: true });
      const swept = await forget(bench, { entries, besideYounger: true });
      const emptied = await forget(bench, { entries, besideYounger: false });
      return {
        "an entry": { value: swept.microseconds, baseline: quarter.microseconds },
        "longest slice": {
          value: Math.max(swept.longestSliceMs, emptied.longestSliceMs),
          baseline: quarter.longestSliceMs,
        },
      } satisfies Run;
    }),
};

async function forget(
  bench: Bench,
  input: PruneInput,
): Promise<{ readonly microseconds: number; readonly longestSliceMs: number }> {
  const pair = await Pair.open(bench, { entries: 20, ids: "time-ordered" }, { keepLog: true });
  await pair.join();
  await pair.settle();
  const arrival = pair.receiver.ask("arrival", { table: "user_metadata", uuid: identity(input.entries) });
  // New shared records, each of which is one entry of the log.
  await pair.server.ask("write", {
    statements: [
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${input.entries})
       INSERT INTO "user_metadata" ("uuid", "favourite")
       SELECT '40000000-0000-4000-8000-' || substr('000000000000' || i, -12), 0 FROM n`,
    ],
  });
  await arrival;
  const figures = await pair.server.ask("prune", input);
  await pair.end();
  return { microseconds: (figures.durationMs * 1_000) / figures.stamps, longestSliceMs: figures.longestSliceMs };
}

function identity(index: number): string {
  return `40000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
}
