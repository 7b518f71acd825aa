import { type BenchCase, valueBelow } from "../case.js";
import { backfillRuns } from "../experiments/backfill-runs.js";
import { largeLibrary } from "../experiments/large-library.js";

/** How long anything else in the process has to wait for its turn, at most. */
export const responsiveness: BenchCase = {
  name: "responsiveness",
  work: "delay of the event loop during backfill, the worse of both processes; baseline: an idle device",
  parts: [
    { name: "p99", unit: "ms", target: valueBelow(20, "ms") },
    { name: "max", unit: "ms", target: valueBelow(60, "ms") },
  ],
  run: async (bench) =>
    (await backfillRuns(bench, largeLibrary(bench))).map(({ server, receiver, idleLoopDelay }) => ({
      p99: { value: Math.max(server.loopDelay.p99Ms, receiver.loopDelay.p99Ms), baseline: idleLoopDelay.p99Ms },
      max: { value: Math.max(server.loopDelay.maxMs, receiver.loopDelay.maxMs), baseline: idleLoopDelay.maxMs },
    })),
};
