import type { Bench } from "../bench.js";
import { type BenchCase, type Run, ratioAtMost } from "../case.js";
import { seededDatabase } from "../experiments/databases.js";
import { largeLibrary } from "../experiments/large-library.js";
import { repeat } from "../experiments/repeat.js";
import { FIRST_DEVICE } from "../library/dataset.js";

/** What the application's own writes cost more because they are noted. */
export const capture: BenchCase = {
  name: "capture",
  work: "the application's own prepared writes, a thousand a transaction, and one bulk UPDATE; baseline: without capture",
  parts: [
    { name: "insert", unit: "ms", target: ratioAtMost(2) },
    { name: "update", unit: "ms", target: ratioAtMost(2.5) },
    { name: "bulk update", unit: "ms", target: ratioAtMost(4) },
  ],
  run: (bench) => repeat(bench, "writes with and without capture", () => writes(bench)),
};

async function writes(bench: Bench): Promise<Run> {
  const library = largeLibrary(bench);
  const plain = await seededDatabase(bench, library);
  const captured = await seededDatabase(bench, library);
  // The triggers stay in the file; nothing else of Tidemark runs meanwhile.
  const device = bench.device("triggers");
  await device.ask("open", { file: captured });
  await device.ask("start", { deviceId: FIRST_DEVICE, role: "found", listen: false, peers: [] });
  await device.ask("stop", null);
  await device.end();
  const process = bench.rows("writes");
  const { off, on } = await process.ask("ownWrites", {
    plain,
    captured,
    rows: bench.pick({ full: 20_000, quick: 5_000, tiny: 100 }),
    rounds: bench.pick({ full: 5, quick: 3, tiny: 1 }),
  });
  await process.end();
  return {
    insert: { value: on.insertMs, baseline: off.insertMs },
    update: { value: on.updateMs, baseline: off.updateMs },
    "bulk update": { value: on.bulkUpdateMs, baseline: off.bulkUpdateMs },
  };
}
