import { AppLoad } from "./app-load.js";
import { cpuMsSince } from "./cpu-time.js";
import { Device } from "./device.js";
import type { DeviceCommands } from "./device-commands.js";
import { writeEvenly } from "./even-changes.js";
import { serve } from "./serve.js";

/** The main file of a device's process. */
const device = new Device();
let load: AppLoad | null = null;

serve<DeviceCommands>({
  open: ({ file }) => device.open(file),
  start: (input) => device.start(input),
  ready: () => device.ready(),
  pause: async () => {
    await device.tidemark.pause();
    return null;
  },
  resume: () => device.resume(),
  figures: () => device.figures(),
  digest: () => device.digest(),
  settle: () => device.settle(),
  write: ({ statements }) => device.write(statements),
  arrival: (input) => device.arrival(input),
  writeEvenly: async (input) => ({ atMs: await writeEvenly(device.dataSource, input) }),
  watchChanges: async () => {
    await device.watchChanges();
    return null;
  },
  watched: ({ changes }) => device.watched(changes),
  prune: (input) => device.prune(input),
  startLoad: (input) => {
    load = new AppLoad(device.dataSource, input);
    load.start();
    return null;
  },
  stopLoad: async () => await load!.stop(),
  usage: () => ({ rssBytes: process.memoryUsage.rss(), cpuMs: cpuMsSince({ user: 0, system: 0 }) }),
  stop: async () => {
    await device.stop();
    return null;
  },
});
