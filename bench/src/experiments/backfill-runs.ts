import type { Bench } from "../bench.js";
import type { DatasetOptions } from "../library/dataset.js";
import type { DeviceFigures } from "../processes/device-commands.js";
import type { BareOutput } from "../processes/rows-commands.js";
import { pause } from "../system-clock.js";
import { emptyPlace, seededDatabase } from "./databases.js";
import { aloneDevice, Pair } from "./pair.js";

/**
 * The work behind most figures: a device that has the library, another one that has nothing, each in a process of its own,
 * connected over WebSocket on this machine. Before each of these runs the same rows are inserted by the bare loop.
 */
export interface BackfillRun {
  readonly bare: BareOutput;
  /** From the joining device's `start` until it is ready. Then the two are compared, and must be equal. */
  readonly durationMs: number;
  readonly server: DeviceFigures;
  readonly receiver: DeviceFigures;
  /** The resident memory of a device that is not connected. */
  readonly idleRssBytes: number;
  /** The loop's delay of such a device, at its worst. */
  readonly idleLoopDelay: DeviceFigures["loopDelay"];
  /** Of the larger of the two files, after some edits, when everything was acknowledged and forgotten. */
  readonly fileBytes: number;
}

const IDLE_MS = 2_000;

export function backfillRuns(
  bench: Bench,
  dataset: DatasetOptions,
  count = bench.runs,
): Promise<readonly BackfillRun[]> {
  return bench.once(`backfill ${JSON.stringify(dataset)}`, async () => {
    await seededDatabase(bench, dataset);
    const runs: BackfillRun[] = [];
    for (let run = 1; run <= count; run++) {
      bench.say(`bare inserts, run ${run} of ${count}`);
      const bare = await bareInserts(bench, dataset);
      bench.say(`backfill, run ${run} of ${count}`);
      runs.push({ bare, ...(await idleDevice(bench)), ...(await backfill(bench, dataset)) });
    }
    return runs;
  });
}

async function bareInserts(bench: Bench, dataset: DatasetOptions): Promise<BareOutput> {
  const rows = bench.rows("bare");
  const output = await rows.ask("bare", { file: await emptyPlace(bench), dataset });
  await rows.end();
  return output;
}

async function idleDevice(bench: Bench): Promise<Pick<BackfillRun, "idleRssBytes" | "idleLoopDelay">> {
  const device = await aloneDevice(bench);
  await device.ask("figures", null);
  await pause(bench.pick({ full: IDLE_MS, quick: IDLE_MS / 4, tiny: 50 }));
  const { loopDelay } = await device.ask("figures", null);
  const { rssBytes } = await device.ask("usage", null);
  await device.ask("stop", null);
  await device.end();
  return { idleRssBytes: rssBytes, idleLoopDelay: loopDelay };
}

async function backfill(
  bench: Bench,
  dataset: DatasetOptions,
): Promise<Pick<BackfillRun, "durationMs" | "server" | "receiver" | "fileBytes">> {
  const pair = await Pair.open(bench, dataset);
  const durationMs = await pair.join();
  const receiver = await pair.receiver.ask("figures", null);
  const server = await pair.server.ask("figures", null);
  await pair.compare();
  await pair.server.ask("write", { statements: ['UPDATE "user_metadata" SET "favourite" = NOT "favourite"'] });
  const files = await pair.settle();
  await pair.compare();
  await pair.end();
  return { durationMs, server, receiver, fileBytes: Math.max(...files.map(({ fileBytes }) => fileBytes)) };
}
