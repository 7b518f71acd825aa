// Members that come and go, as steps of a run: devices are removed by anybody, stay away for so long that they lapse, are
// reset, start on an older copy of their database, or on a copy of that of another device.

import type { SimulatedDevice } from "./device.js";
import type { Step } from "./steps.js";
import { Violation } from "./trace.js";
import type { World } from "./world.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export const MEMBERS: readonly Step[] = [
  {
    // Anybody removes anybody: whom it takes for a member, or for one that has lapsed.
    weight: 2,
    possible: (world) => removals(world).length > 0,
    run(world) {
      const { by, target } = world.chance.pick(removals(world));
      world.trace.say(by.name, `removes ${target.name}`);
      world.expelled.add(target.watch.knowledge!.origin);
      by.begin(() => attempt(world, by, by.kernel.tidemark.removeMember(target.name)));
    },
  },
  {
    weight: 3,
    possible: (world) => world.running.length > 0,
    async run(world) {
      const away = new Set(world.running.filter(() => world.chance.happens(0.4)));
      if (away.size === 0) away.add(world.chance.pick(world.running));
      world.say(`${[...away].map(({ name }) => name).join(" ")} will not be heard of for long`);
      const side = new Set([...away].map(({ name }) => name));
      for (const { from, to } of world.links) if (side.has(from) !== side.has(to)) world.network.cut(from, to);
      for (let count = world.chance.below(4); count > 0; count--) {
        world.act(world.chance.pick([...away]));
        await world.wait(world.chance.below(2_000));
      }
      for (const device of away) if (world.chance.happens(0.4)) await device.stop();
      world.check();
      // Long enough for some, and not quite for others.
      const ms = world.maxOfflineMs * world.chance.pick([0.6, 1.2, 1.5]);
      for (const part of [0.3, 0.3, 0.4]) {
        await world.wait(ms * part);
        if (world.running.length > 0 && world.chance.happens(0.6)) world.act(world.chance.pick(world.running));
      }
    },
  },
  {
    weight: 1.5,
    possible: (world) => resettable(world).length > 0,
    async run(world) {
      const device = world.chance.pick(resettable(world));
      world.trace.say(device.name, "is reset");
      device.begin(() => attempt(world, device, device.kernel.tidemark.resetSyncState()));
      await device.finishTasks();
      world.check();
    },
  },
  {
    weight: 3,
    possible: (world) => world.running.length > 0,
    async run(world) {
      const device = world.chance.pick(world.running);
      await device.stop();
      world.check();
      if (device.state !== "off") return;
      world.backUp(device);
      if (world.chance.happens(0.8)) await world.start(device);
    },
  },
  {
    weight: 3,
    possible: (world) => world.restorable.length > 0,
    async run(world) {
      const device = world.chance.pick(world.restorable);
      if (device.state === "running") await device.stop();
      world.check();
      // What it does on its way down may have changed who can find it out.
      if (!world.restorable.includes(device)) return;
      world.restore(device);
      if (world.chance.happens(0.8)) await world.start(device);
    },
  },
  {
    // A battery was empty, or somebody has mistyped the year; it is put right after a while.
    weight: 1.5,
    possible: (world) => mistakable(world).length > 0,
    async run(world) {
      const device = world.chance.pick(mistakable(world));
      const offMs = world.chance.pick([2 * HOUR_MS, 26 * HOUR_MS, 40 * DAY_MS, 3_700 * DAY_MS]);
      world.trace.say(device.name, `the clock is ${offMs / HOUR_MS} hours ahead for a while`);
      device.clock.set(offMs);
      for (let count = world.chance.below(5); count > 0; count--) {
        if (device.state === "running") world.act(device);
        await world.wait(world.chance.pick([10, 500, 40_000]));
      }
      device.clock.set(0);
    },
  },
  {
    weight: 1,
    possible: (world) => world.backups.length > 0 && world.devices.some(({ everStarted }) => !everStarted),
    async run(world) {
      const device = world.chance.pick(world.devices.filter(({ everStarted }) => !everStarted));
      const backup = world.chance.pick(world.backups);
      world.trace.say(device.name, `starts on a copy of the database of ${backup.device}`);
      device.schema = backup.schema;
      device.replaceDatabase(backup.path);
      await world.start(device);
    },
  },
];

/** Who can be removed by whom, so that somebody is left whom nobody has removed. */
function removals(world: World): readonly { readonly by: SimulatedDevice; readonly target: SimulatedDevice }[] {
  const sound = world.devices.filter((device) => world.isSound(device));
  return sound
    .filter(({ state }) => state === "running")
    .flatMap((by) => {
      const { joins, removals } = by.watch.knowledge!;
      return world.devices
        .filter((target) => {
          const origin = target.watch.knowledge?.origin;
          if (target === by || origin === undefined || !joins.has(origin) || world.isNeeded(target)) return false;
          const kind = removals.get(origin)?.kind;
          return kind !== "removed" && kind !== "replaced" && sound.some((it) => it !== target && it !== by);
        })
        .map((target) => ({ by, target }));
    });
}

/** Those beside whom somebody knows what time it is. */
function mistakable(world: World): readonly SimulatedDevice[] {
  return world.running.filter(
    (device) => !world.isConfined(device) && world.devices.some((it) => it !== device && world.isSound(it)),
  );
}

/** Those after whose reset somebody is left who has the library. */
function resettable(world: World): readonly SimulatedDevice[] {
  const sound = world.devices.filter((device) => world.isSound(device));
  return world.running.filter(
    (device) =>
      device.watch.knowledge !== null &&
      !device.inTransaction &&
      !world.isNeeded(device) &&
      // In a backup from before anybody had joined it is alone, and a reset founds another library.
      !world.isConfined(device) &&
      sound.some((it) => it !== device),
  );
}

/** A person asks for something that may be refused, because a disk is unwell or somebody else was faster. */
async function attempt(world: World, device: SimulatedDevice, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (device.state !== "running") return;
    world.trace.say(device.name, `  refused: ${(error as Error).message}`);
    if (!(error instanceof Error && "code" in error)) throw new Violation("errors have a code", String(error));
  }
}
