import type { Bench } from "../bench.js";
import { type BenchCase, type Run, ratioAtLeast } from "../case.js";
import { largeLibrary } from "../experiments/large-library.js";
import { markerInsert } from "../experiments/marker.js";
import { Pair } from "../experiments/pair.js";
import { repeat } from "../experiments/repeat.js";

/** How fast two devices agree that have edited the same columns of the same records while they were apart. */
export const merge: BenchCase = {
  name: "merge",
  work: "100,000 conflicting edits, half of them from each side; baseline: the backfill of the same device",
  parts: [{ name: "rate", unit: "rows/s", target: ratioAtLeast(0.3) }],
  run: (bench) => repeat(bench, "conflicting edits", () => agree(bench)),
};

const MARKERS = {
  server: "f0000000-0000-4000-8000-000000000002",
  receiver: "f0000000-0000-4000-8000-000000000003",
} as const;

async function agree(bench: Bench): Promise<Run> {
  const library = largeLibrary(bench);
  const edits = Math.min(50_000, Math.floor(library.entries / 2));
  const pair = await Pair.open(bench, library);
  const backfillMs = await pair.join();
  await pair.settle();
  const { server, receiver } = pair;
  await receiver.ask("pause", null);
  for (const [device, name] of [
    [server, "server"],
    [receiver, "receiver"],
  ] as const) {
    // By identity: local keys are not the same on both.
    const contents = `SELECT "uuid" FROM "content_identity" ORDER BY "uuid" LIMIT ${edits}`;
    await device.ask("write", {
      statements: [
        `UPDATE "content_identity" SET "kind" = '${name}', "size" = "size" + 1 WHERE "uuid" IN (${contents})`,
        markerInsert(MARKERS[name]),
      ],
    });
  }
  const arrivals = Promise.all([
    server.ask("arrival", { table: "user_metadata", uuid: MARKERS.receiver }),
    receiver.ask("arrival", { table: "user_metadata", uuid: MARKERS.server }),
  ]);
  const { atMs: resumedMs } = await receiver.ask("resume", null);
  const agreedMs = Math.max(...(await arrivals).map(({ atMs }) => atMs));
  await pair.compare();
  await pair.end();
  const rows = library.entries * 1.6;
  return {
    rate: { value: (2 * edits * 1_000) / (agreedMs - resumedMs), baseline: (rows * 1_000) / backfillMs },
  };
}
