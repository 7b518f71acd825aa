import { isTidemarkError } from "@tidemark/plugin-api";
import { Device } from "./device.js";
import { type DeviceMessage, parseRequest } from "./messages.js";
import { stderrLogger } from "./stderr-logger.js";
import { systemClock } from "./system-clock.js";
import { systemRandom } from "./system-random.js";

/**
 * The main file of a device's process: connects a {@link Device} to the process that started it. Started by the demo
 * with `fork`, never by hand. Ends when its parent does.
 */
function main(): void {
  if (process.send === undefined) {
    process.stderr.write("This is a part of the demo. Run `npm run demo` in the root of the repository instead.\n");
    process.exitCode = 2;
    return;
  }
  const send = (message: DeviceMessage) => {
    // The parent may be gone already; then nobody wants to know.
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  };
  const device = new Device({
    clock: systemClock,
    random: systemRandom,
    logger: stderrLogger(),
    send,
  });

  process.on("message", async (value: unknown) => {
    let id = -1;
    try {
      const request = parseRequest(value);
      id = request.id;
      const result = await device.handle(request);
      send({ kind: "result", id, result });
      if (request.kind === "close") process.disconnect();
    } catch (error) {
      const code = isTidemarkError(error) ? error.code : "UNEXPECTED";
      const message =
        error instanceof Error
          ? isTidemarkError(error)
            ? error.message
            : (error.stack ?? error.message)
          : String(error);
      send({ kind: "failure", id, code, message });
    }
  });
  // Ctrl-C reaches the whole group of processes; when to end is the parent's decision.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => void device.close().finally(() => process.exit(0)));
  process.on("disconnect", () => void device.close().finally(() => process.exit(0)));
}

main();
