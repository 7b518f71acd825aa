import type { Bench } from "../bench.js";
import { type BenchCase, type Run, ratioAtMost } from "../case.js";
import { largeLibrary } from "../experiments/large-library.js";
import { Pair } from "../experiments/pair.js";
import { repeat } from "../experiments/repeat.js";
import type { LoadFigures } from "../processes/device-commands.js";
import { pause } from "../system-clock.js";

/** What the application's users feel of a backfill. */
export const appDuringSync: BenchCase = {
  name: "app-during-sync",
  work: "point reads and small writes through TypeORM during backfill, the worse of both devices; baseline: afterwards",
  parts: [{ name: "p99", unit: "ms", target: ratioAtMost(5) }],
  run: (bench) => repeat(bench, "backfill beside the application's own work", (run) => besideWork(bench, run)),
};

async function besideWork(bench: Bench, run: number): Promise<Run> {
  const library = largeLibrary(bench);
  const pair = await Pair.open(bench, library);
  const startLoad = async (seed: number) => {
    await pair.server.ask("startLoad", { entries: library.entries, seed });
    await pair.receiver.ask("startLoad", { entries: library.entries, seed: seed + 1 });
  };
  const stopLoad = async () =>
    worse(await pair.receiver.ask("stopLoad", null), await pair.server.ask("stopLoad", null));
  await startLoad(4 * run);
  await pair.join();
  const during = await stopLoad();
  await pair.settle();
  await pair.compare();
  await startLoad(4 * run + 2);
  await pause(bench.pick({ full: 6_000, quick: 2_000, tiny: 200 }));
  const idle = await stopLoad();
  await pair.end();
  return { p99: { value: during.p99Ms, baseline: idle.p99Ms } };
}

function worse(one: LoadFigures, other: LoadFigures): LoadFigures {
  return one.p99Ms > other.p99Ms ? one : other;
}
