// The main file of a process that is going to be killed: one device of a library, with a real kernel on a real file and
// the real clock. It waits for its task, so that it can be made ready before it is needed, and then works until it dies.

import { systemClock } from "../../kernel/system-clock.js";
import { Chance } from "../simulator/chance.js";
import { Work } from "../simulator/work.js";
import {
  type CrashTask,
  crashKernel,
  type FromDevice,
  prune,
  SURVIVOR,
  type ToDevice,
  VICTIM,
} from "./crash-kernel.js";
import { DiallingEnd } from "./process-transport.js";

function tell(message: FromDevice): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

async function run(task: CrashTask, transport: DiallingEnd, resting: () => boolean): Promise<void> {
  const chance = new Chance(task.seed);
  const kernel = await crashKernel({ device: VICTIM, database: task.database, transport, random: chance });
  await kernel.tidemark.start();
  tell({ kind: "running" });
  const work = new Work({ chance, devices: [SURVIVOR, VICTIM] });
  const { dataSource } = kernel;
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  for (let counter = task.counter + 1; task.writes && !resting(); counter++) {
    await dataSource.transaction(async (manager) => {
      for (const { sql, parameters } of work.firstOf(VICTIM)) await manager.query(sql, [...parameters]);
      await manager.query("UPDATE machine SET name = ? WHERE uuid = ?", [String(counter), VICTIM]);
      for (let left = chance.between(0, 3); left > 0; left--) {
        const { sql, parameters } = work.next(VICTIM, 1);
        // What the schema refuses is undone by itself, and the transaction goes on.
        await manager.query(sql, [...parameters]).catch(() => {});
      }
      if (chance.happens(0.3)) await turn();
    });
    tell({ kind: "committed", counter });
    if (task.prunes && chance.happens(0.2)) await prune(kernel);
    await turn();
  }
  for (; task.prunes && !resting(); ) {
    await prune(kernel);
    await new Promise<void>((resolve) => void systemClock.setTimeout(resolve, 5));
  }
}

function main(): void {
  const transport = new DiallingEnd({ send: (message) => tell({ kind: "channel", message }) });
  let resting = false;
  process.on("message", (message: ToDevice) => {
    if (message.kind === "channel") transport.take(message.message);
    else if (message.kind === "rest") resting = true;
    else {
      run(message.task, transport, () => resting).catch((error: unknown) =>
        tell({ kind: "failed", reason: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
      );
    }
  });
  process.on("disconnect", () => process.exit(0));
  tell({ kind: "loaded" });
}

main();
