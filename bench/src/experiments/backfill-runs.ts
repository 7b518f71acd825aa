import type { Bench } from "../bench.js";
import { type DatasetOptions, FIRST_DEVICE } from "../library/dataset.js";
import type { DeviceFigures, LoadFigures } from "../processes/device-commands.js";
import type { BareOutput } from "../processes/rows-commands.js";
import { pause } from "../system-clock.js";
import { emptyPlace, seededDatabase } from "./databases.js";

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

export interface LoadedRun {
  /** The worse of the two devices, while one joins the other. */
  readonly during: LoadFigures;
  /** The worse of the two, afterwards. */
  readonly idle: LoadFigures;
}

export const SECOND_DEVICE = "00000000-0000-4000-8000-00000000000b";
const IDLE_MS = 2_000;

export function backfillRuns(bench: Bench, dataset: DatasetOptions): Promise<readonly BackfillRun[]> {
  return bench.once(`backfill ${JSON.stringify(dataset)}`, async () => {
    await seededDatabase(bench, dataset);
    const runs: BackfillRun[] = [];
    for (let run = 1; run <= bench.runs; run++) {
      bench.say(`bare inserts, run ${run} of ${bench.runs}`);
      const bare = await bareInserts(bench, dataset);
      bench.say(`backfill, run ${run} of ${bench.runs}`);
      runs.push({ bare, ...(await idleDevice(bench)), ...(await backfill(bench, dataset)) });
    }
    return runs;
  });
}

/** The same, while the application of both devices reads and writes. */
export async function loadedRuns(bench: Bench, dataset: DatasetOptions): Promise<readonly LoadedRun[]> {
  const runs: LoadedRun[] = [];
  for (let run = 1; run <= bench.runs; run++) {
    bench.say(`backfill beside the application's own work, run ${run} of ${bench.runs}`);
    const pair = await openPair(bench, dataset);
    const { server, receiver } = pair;
    const { entries } = dataset;
    await server.ask("startLoad", { entries, seed: 4 * run });
    await receiver.ask("startLoad", { entries, seed: 4 * run + 1 });
    await pair.join();
    const during = worse(await receiver.ask("stopLoad", null), await server.ask("stopLoad", null));
    await Promise.all([receiver.ask("settle", null), server.ask("settle", null)]);
    await pair.compare();
    await receiver.ask("startLoad", { entries, seed: 4 * run + 2 });
    await server.ask("startLoad", { entries, seed: 4 * run + 3 });
    await pause(bench.pick({ full: 3 * IDLE_MS, quick: IDLE_MS, tiny: 200 }));
    const idle = worse(await receiver.ask("stopLoad", null), await server.ask("stopLoad", null));
    await pair.end();
    runs.push({ during, idle });
  }
  return runs;
}

async function bareInserts(bench: Bench, dataset: DatasetOptions): Promise<BareOutput> {
  const rows = bench.rows("bare");
  const output = await rows.ask("bare", { file: await emptyPlace(bench), dataset });
  await rows.end();
  return output;
}

async function idleDevice(bench: Bench): Promise<Pick<BackfillRun, "idleRssBytes" | "idleLoopDelay">> {
  const device = bench.device("idle");
  await device.ask("open", { file: await emptyPlace(bench) });
  await device.ask("start", { deviceId: SECOND_DEVICE, role: "join", listen: false, peers: [] });
  await device.ask("figures", null);
  await pause(bench.pick({ full: IDLE_MS, quick: IDLE_MS / 4, tiny: 50 }));
  const { loopDelay } = await device.ask("figures", null);
  const { rssBytes } = await device.ask("memory", null);
  await device.ask("stop", null);
  await device.end();
  return { idleRssBytes: rssBytes, idleLoopDelay: loopDelay };
}

async function backfill(
  bench: Bench,
  dataset: DatasetOptions,
): Promise<Pick<BackfillRun, "durationMs" | "server" | "receiver" | "fileBytes">> {
  const pair = await openPair(bench, dataset);
  const durationMs = await pair.join();
  const receiver = await pair.receiver.ask("figures", null);
  const server = await pair.server.ask("figures", null);
  await pair.compare();
  await pair.server.ask("edit", { rows: bench.pick({ full: 2_000, quick: 500, tiny: 10 }) });
  const files = await Promise.all([pair.server.ask("settle", null), pair.receiver.ask("settle", null)]);
  await pair.compare();
  await pair.end();
  return { durationMs, server, receiver, fileBytes: Math.max(...files.map(({ fileBytes }) => fileBytes)) };
}

/** A device that runs and has the library, and one that is open and has nothing. */
export async function openPair(bench: Bench, dataset: DatasetOptions) {
  const server = bench.device("server");
  const receiver = bench.device("receiver");
  await server.ask("open", { file: await seededDatabase(bench, dataset) });
  await receiver.ask("open", { file: await emptyPlace(bench) });
  const { url } = await server.ask("start", { deviceId: FIRST_DEVICE, role: "found", listen: true, peers: [] });
  return {
    server,
    receiver,
    /** Connects the two; resolves with the time that it took the second one to be ready. */
    async join(): Promise<number> {
      await server.ask("figures", null);
      await receiver.ask("start", { deviceId: SECOND_DEVICE, role: "join", listen: false, peers: [url!] });
      return (await receiver.ask("ready", null)).afterMs;
    },
    /** Fails where the tables of the two are not equal. */
    async compare(): Promise<void> {
      const [one, other] = await Promise.all([server.ask("digest", null), receiver.ask("digest", null)]);
      if (JSON.stringify(one) !== JSON.stringify(other)) {
        throw new Error(`the devices differ: ${JSON.stringify({ server: one, receiver: other })}`);
      }
    },
    async end(): Promise<void> {
      for (const device of [receiver, server]) {
        await device.ask("stop", null);
        await device.end();
      }
    },
  };
}

function worse(one: LoadFigures, other: LoadFigures): LoadFigures {
  return one.p99Ms > other.p99Ms ? one : other;
}
