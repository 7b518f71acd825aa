import type { Bench } from "../bench.js";
import { type BenchCase, type Run, valueAtLeast } from "../case.js";
import { seededDatabase } from "../experiments/databases.js";
import { largeLibrary } from "../experiments/large-library.js";
import { ARRIVAL, markArrival } from "../experiments/marker.js";
import { Pair } from "../experiments/pair.js";
import { repeat } from "../experiments/repeat.js";

/** How fast many edits of shared records get through, when somebody changes them all at once. */
export const liveBurst: BenchCase = {
  name: "live-burst",
  work: "50,000 edits of shared records in one transaction while connected; baseline: the same edits by bare updates",
  parts: [{ name: "rate", unit: "edits/s", target: valueAtLeast(30_000, "edits/s") }],
  run: (bench) => repeat(bench, "a burst of edits", () => burst(bench)),
};

async function burst(bench: Bench): Promise<Run> {
  const library = largeLibrary(bench);
  const edits = Math.min(50_000, Math.floor(library.entries / 2));
  const rows = bench.rows("updates");
  const bare = await rows.ask("updates", { file: await seededDatabase(bench, library), rows: edits });
  await rows.end();

  const pair = await Pair.open(bench, library);
  await pair.join();
  await pair.settle();
  const arrival = pair.receiver.ask("arrival", ARRIVAL);
  const { atMs: committedMs } = await pair.server.ask("write", {
    statements: [`UPDATE "content_identity" SET "kind" = 'burst' WHERE "id" <= ${edits}`, markArrival],
  });
  const { atMs: appliedMs } = await arrival;
  await pair.compare();
  await pair.end();
  const perSecond = (durationMs: number) => (edits * 1_000) / durationMs;
  return { rate: { value: perSecond(appliedMs - committedMs), baseline: perSecond(bare.durationMs) } };
}
