import type { Bench } from "../bench.js";
import { type BenchCase, type Run, ratioAtLeast } from "../case.js";
import { emptyPlace, seededDatabase } from "../experiments/databases.js";
import { repeat } from "../experiments/repeat.js";
import { FIRST_DEVICE } from "../library/dataset.js";

/** Whether a device that serves many at once gets as much out as one that serves one. */
const TARGET = ratioAtLeast(1);

export const fanOut: BenchCase = {
  name: "fan-out",
  work: "one device serves 2, 4, 8 joining devices at once, all on this machine; baseline: it serves 1",
  parts: [
    { name: "8 devices", unit: "rows/s", target: TARGET },
    { name: "4 devices", unit: "rows/s", target: TARGET },
    { name: "2 devices", unit: "rows/s", target: TARGET },
  ],
  run: (bench) =>
    repeat(bench, "one device serves several", async () => {
      const baseline = await servedPerSecond(bench, 1);
      const run: Record<string, Run[string]> = {};
      for (const devices of bench.pick({ full: [2, 4, 8], quick: [2, 4, 8], tiny: [2, 2, 2] })) {
        run[`${devices} devices`] = { value: await servedPerSecond(bench, devices), baseline };
      }
      return run;
    }),
};

async function servedPerSecond(bench: Bench, devices: number): Promise<number> {
  const entries = bench.pick({ full: 50_000, quick: 5_000, tiny: 100 });
  const server = bench.device("server");
  await server.ask("open", { file: await seededDatabase(bench, { entries, ids: "time-ordered" }) });
  const { url } = await server.ask("start", { deviceId: FIRST_DEVICE, role: "found", listen: true, peers: [] });
  const receivers = await Promise.all(
    Array.from({ length: devices }, async (_, index) => {
      const receiver = bench.device(`receiver-${index + 1}`);
      await receiver.ask("open", { file: await emptyPlace(bench) });
      return receiver;
    }),
  );
  const times = await Promise.all(
    receivers.map(async (receiver, index) => {
      const deviceId = `00000000-0000-4000-8000-0000000001${String(index).padStart(2, "0")}`;
      await receiver.ask("start", { deviceId, role: "join", listen: false, peers: [url!] });
      return (await receiver.ask("ready", null)).afterMs;
    }),
  );
  for (const device of [...receivers, server]) {
    await device.ask("stop", null);
    await device.end();
  }
  return (devices * entries * 1.6 * 1_000) / Math.max(...times);
}
