import { editMetadata } from "./app-edits.js";
import { AppLoad } from "./app-load.js";
import { Device } from "./device.js";
import type { DeviceCommands } from "./device-commands.js";
import { serve } from "./serve.js";

/** The main file of a device's process. */
const device = new Device();
let load: AppLoad | null = null;

serve<DeviceCommands>({
  open: async ({ file }) => {
    await device.open(file);
    return null;
  },
  start: async (input) => ({ url: await device.start(input) }),
  ready: async () => ({ afterMs: await device.ready() }),
  figures: () => device.figures(),
  digest: () => device.digest(),
  settle: () => device.settle(),
  startLoad: (input) => {
    load = new AppLoad(device.dataSource, input);
    load.start();
    return null;
  },
  stopLoad: async () => await load!.stop(),
  edit: async ({ rows }) => {
    await editMetadata(device.dataSource, rows);
    return null;
  },
  memory: () => ({ rssBytes: process.memoryUsage.rss() }),
  stop: async () => {
    await device.stop();
    return null;
  },
});
