import { isTidemarkError } from "@tidemark/plugin-api";
import { stderrLogger } from "../../demo/stderr-logger.js";
import { systemClock } from "../../demo/system-clock.js";
import { systemRandom } from "../../demo/system-random.js";
import { type ConcurrentDevice, type ConcurrentDeviceSetup, type IndexCommand, LocalDevice } from "./device.js";
import type { FromDevice, ToDevice } from "./remote-device.js";

/** The main file of a device's process: does what its parent asks, and ends when the parent does. */
function main(): void {
  if (process.send === undefined) {
    process.stderr.write("This is a part of the scenarios. Run `npm run scenarios` in the root of the repository.\n");
    process.exitCode = 2;
    return;
  }
  const send = (message: FromDevice) => {
    // The parent may be gone already; then nobody wants to know.
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  };
  const device = new LocalDevice({
    clock: systemClock,
    random: systemRandom,
    logger: stderrLogger(),
    onProgress: (progress) => send({ kind: "progress", progress }),
  });
  process.on("message", async ({ id, method, argument }: ToDevice) => {
    try {
      const result = await call(device, method, argument);
      send({ kind: "result", id, result });
      if (method === "close") process.disconnect();
    } catch (error) {
      const code = isTidemarkError(error) ? error.code : "UNEXPECTED";
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      send({ kind: "failure", id, code, message });
    }
  });
  // Ctrl-C reaches the whole group of processes; when to end is the parent's decision.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => void device.close().finally(() => process.exit(0)));
  process.on("disconnect", () => void device.close().finally(() => process.exit(0)));
}

function call(device: ConcurrentDevice, method: ToDevice["method"], argument: unknown): Promise<unknown> {
  switch (method) {
    case "open":
      return device.open(argument as ConcurrentDeviceSetup);
    case "index":
      return device.index(argument as IndexCommand);
    case "status":
      return device.status();
    case "compare":
      return device.compare();
    case "figures":
      return device.figures();
    case "close":
      return device.close();
  }
}

main();
