import { type BenchCase, ratioAtMost } from "../case.js";
import { largeLibrary } from "../experiments/large-library.js";
import { Pair } from "../experiments/pair.js";
import { repeat } from "../experiments/repeat.js";

/** Whether fetching pages side by side costs anything where there are no round trips to be saved. */
export const parallelBackfill: BenchCase = {
  name: "parallel-backfill",
  work: "the large library to an empty device over loopback; baseline: the same without the plugin, page after page",
  parts: [{ name: "time", unit: "ms", target: ratioAtMost(1.05) }],
  run: async (bench) => {
    const join = async (without: readonly string[]) => {
      const pair = await Pair.open(bench, largeLibrary(bench));
      const durationMs = await pair.join({ without });
      await pair.compare();
      await pair.end();
      return durationMs;
    };
    return await repeat(bench, "backfill side by side and page after page", async () => ({
      time: { baseline: await join(["parallel-backfill"]), value: await join([]) },
    }));
  },
};
