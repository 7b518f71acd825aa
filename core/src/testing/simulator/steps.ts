// What can happen in the first phase of a run: work, and the faults of the families that the run has. Each step is small,
// says in the trace what it does, and lets little or no time pass.

import type { SimulatedDevice } from "./device.js";
import { MEMBERS } from "./member-steps.js";
import { MOODS } from "./mischief.js";
import type { FaultFamily } from "./profiles.js";
import type { CrashPlace } from "./simulated-disk.js";
import type { World } from "./world.js";

export interface Step {
  readonly weight: number;
  readonly family?: FaultFamily;
  /** Whether there is anything to do; default true. */
  readonly possible?: (world: World) => boolean;
  run(world: World): void | Promise<void>;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

const anyRunning = (world: World) => world.running.length > 0;

function someRunning(world: World): SimulatedDevice {
  return world.chance.pick(world.running);
}

/** Draws one of the steps that are possible, and runs it. */
export async function takeStep(world: World): Promise<void> {
  const steps = STEPS.filter(
    ({ family, possible }) =>
      (family === undefined || world.families.has(family)) && (possible === undefined || possible(world)),
  );
  const step = world.chance.weighted(steps.map((it) => [it, it.weight] as const));
  await step.run(world);
  const waitMs = world.chance.weighted([
    [() => world.chance.below(30), 6],
    [() => world.chance.below(500), 3],
    [() => world.chance.below(3_000), 1],
  ])();
  await world.wait(waitMs);
}

const WORK: readonly Step[] = [
  {
    weight: 55,
    possible: anyRunning,
    run: (world) => world.act(someRunning(world)),
  },
  {
    weight: 8,
    possible: (world) => world.running.some(({ inTransaction }) => !inTransaction),
    run(world) {
      const device = world.chance.pick(world.running.filter(({ inTransaction }) => !inTransaction));
      const statements = Array.from({ length: world.chance.between(1, 5) }, () => ({
        ...world.work.next(device.name, device.schema),
        pauseMs: world.chance.happens(0.5) ? 0 : world.chance.below(400),
      }));
      const end = world.chance.happens(0.8) ? "COMMIT" : "ROLLBACK";
      device.inTransaction = true;
      device.begin(async () => {
        try {
          if (!(await device.execute("BEGIN"))) return;
          for (const { sql, parameters, pauseMs } of statements) {
            if (pauseMs > 0) await device.sleep(pauseMs);
            await device.execute(sql, parameters);
          }
          // A full disk may have ended the transaction already.
          if (!(await device.execute(end))) await device.execute("ROLLBACK");
        } finally {
          device.inTransaction = false;
        }
      });
    },
  },
  { weight: 6, run: (world) => world.wait(world.chance.below(2_000)) },
  { weight: 1.5, run: (world) => world.wait(world.chance.between(5_000, 70_000)) },
  { weight: 4, possible: anyRunning, run: (world) => world.prune(someRunning(world)) },
  { weight: 1.5, possible: anyRunning, run: (world) => world.examine(someRunning(world)) },
  {
    weight: 1.5,
    possible: anyRunning,
    async run(world) {
      const device = someRunning(world);
      await device.stop();
      world.check();
      if (device.state === "off") await world.start(device);
    },
  },
  { weight: 1, possible: anyRunning, run: (world) => someRunning(world).stop() },
  {
    weight: 5,
    possible: (world) => world.devices.some(({ state }) => state === "off"),
    async run(world) {
      const device = world.chance.pick(world.devices.filter(({ state }) => state === "off"));
      const crashes = world.families.has("crash") && world.chance.happens(0.3);
      await world.start(device, crashes ? { prepare: () => arm(world, device) } : undefined);
    },
  },
  {
    weight: 1,
    possible: (world) => world.running.some(({ paused }) => !paused),
    async run(world) {
      const device = world.chance.pick(world.running.filter(({ paused }) => !paused));
      await device.pause();
    },
  },
  {
    weight: 3,
    possible: (world) => world.running.some(({ paused }) => paused),
    run: (world) => world.chance.pick(world.running.filter(({ paused }) => paused)).resume(),
  },
];

const NETWORK: readonly Step[] = [
  {
    weight: 3,
    run(world) {
      const { from, to } = direction(world);
      const minMs = world.chance.below(100);
      const latency = { minMs, maxMs: minMs + world.chance.below(400) };
      world.say(`${from} -> ${to} takes ${latency.minMs} to ${latency.maxMs} ms`);
      world.network.setLatency({ from, to }, latency);
    },
  },
  {
    weight: 1,
    run(world) {
      const { from, to } = direction(world);
      const bytesPerSecond = world.chance.pick([500, 5_000, 50_000]);
      world.say(`${from} -> ${to} carries ${bytesPerSecond} bytes a second`);
      world.network.setBandwidth({ from, to }, { bytesPerSecond });
    },
  },
  {
    weight: 2,
    run(world) {
      const { from, to } = world.chance.pick(world.links);
      world.say(`${from} and ${to} are cut off from each other`);
      world.network.cut(from, to);
    },
  },
  {
    weight: 2,
    run(world) {
      const { from, to } = direction(world);
      world.say(`nothing passes from ${from} to ${to}`);
      world.network.cutOneWay({ from, to });
    },
  },
  {
    weight: 1,
    run(world) {
      const side = new Set(world.devices.filter(() => world.chance.happens(0.5)).map(({ name }) => name));
      world.say(`a partition: ${[...side].join(" ") || "nobody"} on one side`);
      for (const { from, to } of world.links) if (side.has(from) !== side.has(to)) world.network.cut(from, to);
    },
  },
  {
    weight: 6,
    run(world) {
      const { from, to } = world.chance.pick(world.links);
      world.say(`${from} and ${to} can reach each other`);
      world.connect(from, to);
    },
  },
  { weight: 1, run: (world) => healNetwork(world, { latencies: false }) },
  {
    weight: 4,
    run(world) {
      const { from, to } = direction(world);
      const frames = world.chance.below(8);
      world.say(`${from} -> ${to} breaks after ${frames} frames`);
      world.network.loseAfter({ from, to }, { frames });
    },
  },
  {
    weight: 2,
    run(world) {
      const { from, to } = direction(world);
      const keepBytes = world.chance.pick([0, 1, 10, 100, 1_000]);
      world.say(`${from} -> ${to} cuts the next frame off after ${keepBytes} bytes`);
      world.network.truncateNext({ from, to }, { keepBytes });
    },
  },
  {
    weight: 4,
    run(world) {
      const { from, to } = direction(world);
      const noticeMs = world.chance.pick([10, 1_000, 10_000, 40_000]);
      world.say(`${from} loses its connection to ${to}, which notices after ${noticeMs} ms`);
      world.network.loseEnd({ at: from, other: to }, { noticeMs });
    },
  },
];

const CLOCK: readonly Step[] = [
  {
    weight: 3,
    run: (world) => setClock(world, world.chance.between(-4 * MINUTE_MS, 4 * MINUTE_MS)),
  },
  {
    weight: 1.5,
    run: (world) => setClock(world, world.chance.pick([-26, -3, -1, -0.3]) * HOUR_MS),
  },
  {
    weight: 1,
    run: (world) => setClock(world, world.chance.pick([6, 8, 20, 50]) * MINUTE_MS),
  },
  {
    weight: 1,
    run(world) {
      const device = world.chance.pick(world.devices);
      world.trace.say(device.name, "the clock stands still");
      device.clock.freeze();
    },
  },
  {
    weight: 4,
    run(world) {
      const device = world.chance.pick(world.devices);
      world.trace.say(device.name, "the clock is right");
      device.clock.set(0);
    },
  },
];

const PLACES: readonly (readonly [CrashPlace, number])[] = [
  ["before a statement", 4],
  ["before a commit", 2],
  ["after a commit", 3],
  ["in the application's write", 1],
];

const CRASH: readonly Step[] = [
  { weight: 1.5, possible: anyRunning, run: (world) => someRunning(world).crash("between two statements") },
  { weight: 6, possible: anyRunning, run: (world) => arm(world, someRunning(world)) },
  {
    weight: 8,
    possible: (world) => world.devices.some(({ state }) => state === "crashed"),
    async run(world) {
      const device = world.chance.pick(world.devices.filter(({ state }) => state === "crashed"));
      // One in four does not get through its recovery.
      const again = world.chance.happens(0.25);
      await world.start(device, again ? { prepare: () => arm(world, device) } : undefined);
    },
  },
];

const DISK: readonly Step[] = [
  {
    weight: 2,
    possible: anyRunning,
    run(world) {
      const device = someRunning(world);
      world.trace.say(device.name, "the disk is full");
      device.disk.full = true;
    },
  },
  {
    weight: 1,
    possible: anyRunning,
    run(world) {
      const device = someRunning(world);
      world.trace.say(device.name, "the disk is read-only");
      device.disk.readOnly = true;
    },
  },
  {
    weight: 2,
    possible: anyRunning,
    run(world) {
      const device = someRunning(world);
      const ms = world.chance.pick([10, 200, 3_000, 40_000]);
      world.trace.say(device.name, `another process holds the lock for ${ms} ms`);
      device.disk.lockFor(ms);
    },
  },
  {
    weight: 2,
    possible: anyRunning,
    run(world) {
      const device = someRunning(world);
      const commits = world.chance.between(1, 3);
      world.trace.say(device.name, `the next ${commits} commits fail`);
      device.disk.failingCommits = commits;
    },
  },
  {
    weight: 8,
    possible: anyRunning,
    run(world) {
      const device = someRunning(world);
      world.trace.say(device.name, "the disk is well");
      device.disk.heal();
    },
  },
  {
    weight: 3,
    possible: (world) => world.running.some(({ inTransaction }) => !inTransaction),
    run(world) {
      const device = world.chance.pick(world.running.filter(({ inTransaction }) => !inTransaction));
      const { sql, parameters } = world.work.next(device.name, device.schema);
      device.executeElsewhere(sql, parameters);
    },
  },
];

const PLUGINS: readonly Step[] = [
  {
    weight: 6,
    run(world) {
      const { name } = world.chance.pick(world.devices);
      const mood = world.chance.pick(MOODS);
      world.trace.say(name, `the plugin: ${mood}`);
      world.moods.set(name, mood);
    },
  },
];

const SCHEMA: readonly Step[] = [
  {
    weight: 3,
    possible: (world) => world.running.some(({ schema }) => schema === 1),
    async run(world) {
      const device = world.chance.pick(world.running.filter(({ schema }) => schema === 1));
      await device.stop();
      world.check();
      if (device.state !== "off") return;
      world.trace.say(device.name, "gets the next version of the application");
      device.schema = 2;
      await world.start(device);
    },
  },
];

const STEPS: readonly Step[] = [
  ...WORK,
  ...ofFamily("network", NETWORK),
  ...ofFamily("clock", CLOCK),
  ...ofFamily("crash", CRASH),
  ...ofFamily("disk", DISK),
  ...ofFamily("plugins", PLUGINS),
  ...ofFamily("schema", SCHEMA),
  ...ofFamily("members", MEMBERS),
];

function ofFamily(family: FaultFamily, steps: readonly Step[]): readonly Step[] {
  return steps.map((step) => ({ ...step, family }));
}

function direction(world: World): { readonly from: string; readonly to: string } {
  const { from, to } = world.chance.pick(world.links);
  return world.chance.happens(0.5) ? { from, to } : { from: to, to: from };
}

function setClock(world: World, offsetMs: number): void {
  const device = world.chance.pick(world.devices);
  world.trace.say(device.name, `the clock is ${(offsetMs / MINUTE_MS).toFixed(1)} minutes off`);
  device.clock.set(offsetMs);
}

function arm(world: World, device: SimulatedDevice): void {
  const place = world.chance.weighted(PLACES);
  const skip = world.chance.below(place === "before a statement" ? 60 : 6);
  const powerLoss = world.chance.happens(0.4);
  world.trace.say(device.name, `is to crash ${place}, ${skip} later${powerLoss ? ", for lack of power" : ""}`);
  device.disk.arm({ place, skip, powerLoss });
}

/** Everybody can reach everybody again. */
export function healNetwork(world: World, { latencies }: { readonly latencies: boolean }): void {
  world.say("the network is whole again");
  for (const { from, to } of world.links) {
    world.connect(from, to);
    if (!latencies) continue;
    for (const direction of [
      { from, to },
      { from: to, to: from },
    ]) {
      world.network.setLatency(direction, 1);
      world.network.setBandwidth(direction, { bytesPerSecond: Number.POSITIVE_INFINITY });
    }
  }
}
