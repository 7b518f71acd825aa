import type { Bench } from "../bench.js";
import { type BenchCase, type Run, valueBelow } from "../case.js";
import { emptyPlace, seededDatabase } from "../experiments/databases.js";
import { repeat } from "../experiments/repeat.js";
import { FIRST_DEVICE } from "../library/dataset.js";
import type { Child } from "../processes/child.js";
import type { DeviceCommands } from "../processes/device-commands.js";
import { pause } from "../system-clock.js";

/** What it costs when nothing happens. */
export const idle: BenchCase = {
  name: "idle",
  work: "processor time of connected, idle devices together; baseline: as many processes that only have a database open",
  parts: [
    { name: "cpu", unit: "% of a core", target: valueBelow(1, "% of a core") },
    {
      name: "writes beside heartbeats",
      unit: "transactions",
      target: { text: "none", met: ({ value }) => value === 0 },
    },
  ],
  run: (bench) => repeat(bench, "devices at rest", () => atRest(bench)),
};

/**
 * Time for what starting and joining have left over: acknowledgements, pruning, and garbage, of which V8 rids itself, over a
 * tenth of a second in each process, once nothing has happened for a minute or two.
 */
const CALM_MS = { full: 60_000, quick: 5_000, tiny: 50 } as const;

async function atRest(bench: Bench): Promise<Run> {
  const count = bench.pick({ full: 10, quick: 4, tiny: 2 });
  const durationMs = bench.pick({ full: 60_000, quick: 5_000, tiny: 200 });
  const calmMs = bench.pick(CALM_MS);
  const [server, ...others] = Array.from({ length: count }, (_, index) => bench.device(`idle-${index + 1}`));
  await server!.ask("open", { file: await seededDatabase(bench, { entries: 1_000, ids: "time-ordered" }) });
  for (const device of others) await device.ask("open", { file: await emptyPlace(bench) });
  const devices = [server!, ...others];
  const closed = await restingCpu(devices, durationMs);

  const common = { watchLoop: false } as const;
  const { url } = await server!.ask("start", {
    ...common,
    deviceId: FIRST_DEVICE,
    role: "found",
    listen: true,
    peers: [],
  });
  for (const [index, device] of others.entries()) {
    const deviceId = `00000000-0000-4000-8000-0000000002${String(index).padStart(2, "0")}`;
    await device.ask("start", { ...common, deviceId, role: "join", listen: false, peers: [url!] });
    await device.ask("ready", null);
  }
  await Promise.all(devices.map((device) => device.ask("settle", null)));
  await pause(calmMs);
  for (const device of devices) await device.ask("figures", null);
  const running = await restingCpu(devices, durationMs);
  let writes = 0;
  for (const device of devices) {
    const figures = await device.ask("figures", null);
    writes += Object.values(figures.writes).reduce((sum, count) => sum + count, 0);
    await device.ask("stop", null);
    await device.end();
  }
  return {
    cpu: { value: running, baseline: closed },
    "writes beside heartbeats": { value: writes, baseline: count },
  };
}

/** Of all processes together, in percent of a core. */
async function restingCpu(devices: readonly Child<DeviceCommands>[], durationMs: number): Promise<number> {
  const before = await cpuMs(devices);
  await pause(durationMs);
  return ((await cpuMs(devices)) - before) / durationMs / 0.01;
}

async function cpuMs(devices: readonly Child<DeviceCommands>[]): Promise<number> {
  const usages = await Promise.all(devices.map((device) => device.ask("usage", null)));
  return usages.reduce((sum, usage) => sum + usage.cpuMs, 0);
}
