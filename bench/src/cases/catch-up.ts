import type { Bench } from "../bench.js";
import { type BenchCase, type Run, ratioAtLeast } from "../case.js";
import { largeLibrary } from "../experiments/large-library.js";
import { ARRIVAL, markArrival } from "../experiments/marker.js";
import { Pair } from "../experiments/pair.js";
import { repeat } from "../experiments/repeat.js";

/** How fast a device takes in what has happened while it was away. */
export const catchUp: BenchCase = {
  name: "catch-up",
  work: "50,000 mixed changes after being offline; baseline: the backfill of the same device",
  parts: [{ name: "rate", unit: "rows/s", target: ratioAtLeast(0.5) }],
  run: (bench) => repeat(bench, "a device that was away", () => comeBack(bench)),
};

async function comeBack(bench: Bench): Promise<Run> {
  const library = largeLibrary(bench);
  const changes = Math.min(50_000, library.entries);
  const pair = await Pair.open(bench, library);
  const backfillMs = await pair.join();
  await pair.settle();
  await pair.receiver.ask("pause", null);
  await pair.server.ask("write", { statements: [...mixedChanges(changes), markArrival] });
  const arrival = pair.receiver.ask("arrival", ARRIVAL);
  const { atMs: resumedMs } = await pair.receiver.ask("resume", null);
  const { atMs: appliedMs } = await arrival;
  await pair.compare();
  await pair.end();
  const rows = library.entries * 1.6;
  return {
    rate: { value: (changes * 1_000) / (appliedMs - resumedMs), baseline: (rows * 1_000) / backfillMs },
  };
}

/** Four tenths new entries, three tenths edited ones, two tenths edits of shared records, one tenth deleted entries. */
function mixedChanges(changes: number): readonly string[] {
  const tenth = Math.floor(changes / 10);
  const copied = '"name", "kind", "size", "mtimeUs", "locationId", "contentId", "metadataId"';
  return [
    `INSERT INTO "entry" ("uuid", ${copied})
     SELECT '2' || substr("uuid", 2), ${copied} FROM "entry" WHERE "id" <= ${4 * tenth} ORDER BY "id"`,
    `UPDATE "entry" SET "size" = "size" + 1, "mtimeUs" = "mtimeUs" + 1 WHERE "id" <= ${3 * tenth}`,
    `UPDATE "content_identity" SET "kind" = 'mixed' WHERE "id" <= ${2 * tenth}`,
    `DELETE FROM "entry" WHERE "id" > ${4 * tenth} AND "id" <= ${5 * tenth}`,
  ];
}
