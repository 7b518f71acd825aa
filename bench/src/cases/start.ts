import type { Bench } from "../bench.js";
import { type BenchCase, type Run, valueBelow } from "../case.js";
import { seededDatabase } from "../experiments/databases.js";
import { repeat } from "../experiments/repeat.js";
import { FIRST_DEVICE } from "../library/dataset.js";

/** How much longer an application takes to start because of Tidemark. */
export const start: BenchCase = {
  name: "start",
  work: "cold start of the kernel with a million rows and an empty log; baseline: opening the data source",
  parts: [{ name: "time", unit: "ms", target: valueBelow(300, "ms") }],
  run: async (bench) => {
    // Once before: the first start founds the library.
    const file = await seededDatabase(bench, {
      entries: bench.pick({ full: 625_000, quick: 20_000, tiny: 100 }),
      ids: "time-ordered",
    });
    await coldStart(bench, file);
    return await repeat(bench, "a cold start", () => coldStart(bench, file));
  },
};

async function coldStart(bench: Bench, file: string): Promise<Run> {
  const device = bench.device("cold");
  const { durationMs: openMs } = await device.ask("open", { file });
  const { durationMs } = await device.ask("start", { deviceId: FIRST_DEVICE, role: "found", listen: true, peers: [] });
  await device.ask("stop", null);
  await device.end();
  return { time: { value: durationMs, baseline: openMs } };
}
