// What must be true of a library once every fault is over: everybody has the same, it is what all changes come to, nothing
// is hidden for ever, and nothing is left to remember.

import type { SimulatedDevice } from "./device.js";
import type { ExpectedRecord, Ledger, Value } from "./ledger.js";
import { type LibraryModel, modelsOf } from "./library-model.js";
import { checkMembership, countedWrites } from "./member-checks.js";
import { readTable } from "./record-values.js";
import { healNetwork } from "./steps.js";
import { Violation } from "./trace.js";
import { TELL_BADGES_APART } from "./work.js";
import type { World } from "./world.js";

/**
 * How long devices may take to come into step: the longest that one may stay away from another (the loser of two
 * sessions, or a request that nobody answers), twice, and three rounds.
 */
const CALM_LIMIT_MS = 2 * 60_000 + 3 * 60_000;
/** Sync tables of a library in which everybody has everything. */
const MOST_SYNC_BYTES = 1024 * 1024;

/** Ends every fault, and checks that the library recovers. */
export async function calmDown(world: World): Promise<void> {
  world.say("---- calm");
  // Whom nobody is any more lapses first, and then those come back who had lapsed.
  const limitMs = CALM_LIMIT_MS + (world.families.has("members") ? 2 * world.maxOfflineMs : 0);
  await endFaults(world);
  // Nothing from the future may be left: it is merged when its time has come, and not before.
  const aheadMs = world.aheadMs;
  if (aheadMs > 0) await world.wait(aheadMs);
  await letBackupsBeFoundOut(world, limitMs);
  await settleBadges(world);
  await comeIntoStep(world, limitMs);
  checkAgainstLedger(world, "everybody has what all changes come to");
  await examineAll(world);
  for (const device of world.members) {
    world.examine(device);
    await device.finishTasks();
  }
  world.check();
  await forgetAll(world);
  checkAgainstLedger(world, "forgetting changes nothing");
  // Whatever has happened, changes still travel.
  for (const device of world.members) {
    device.begin(
      async () => void (await device.execute("UPDATE machine SET name = name || '!' WHERE uuid = ?", [device.name])),
    );
  }
  await comeIntoStep(world, limitMs);
  checkAgainstLedger(world, "a change after it all reaches everybody");
}

async function endFaults(world: World): Promise<void> {
  for (const device of world.devices) {
    device.clock.set(0);
    if (device.state !== "running") continue;
    device.disk.disarm();
    device.disk.heal();
  }
  healNetwork(world, { latencies: true });
  for (const device of world.running) await device.finishTasks();
  if (world.pluginsInstalled) {
    world.pluginsInstalled = false;
    world.moods.clear();
    for (const device of world.running) await device.stop();
  }
  for (const device of world.devices) {
    if (device.state !== "running") await world.start(device);
    if (device.paused) await device.resume();
    if (device.state !== "running" || device.paused) {
      throw new Violation("every device can start again", device.name);
    }
  }
  world.check();
}

/** A restored device is with the one that can find it out until it has; then with everybody. */
async function letBackupsBeFoundOut(world: World, limitMs: number): Promise<void> {
  const endMs = world.timeline.elapsedMs + limitMs;
  while (world.anyConfined) {
    if (world.timeline.elapsedMs > endMs) throw new Violation("a restored backup is found out", "nobody has noticed");
    await world.wait(1_000);
  }
  healNetwork(world, { latencies: false });
}

/** Records that no table takes beside each other wait for a person; here the application plays that person. */
async function settleBadges(world: World): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await world.wait(3_000);
    for (const device of world.members) {
      device.begin(async () => void (await device.execute(TELL_BADGES_APART)));
    }
  }
}

async function comeIntoStep(world: World, limitMs: number): Promise<void> {
  const endMs = world.timeline.elapsedMs + limitMs;
  let apart: string | null = "";
  for (let stepMs = 500; world.timeline.elapsedMs < endMs; stepMs = Math.min(stepMs * 2, 8_000)) {
    await world.wait(stepMs);
    apart = difference(world);
    if (apart === null) return;
  }
  throw new Violation("everybody comes into step", apart ?? "");
}

/** Why the devices are not in step; null when they are. */
function difference(world: World): string | null {
  const { members } = world;
  for (const device of members) {
    const { knowledge } = device.watch;
    if (knowledge === null || !knowledge.ready) return `${device.name} does not have the library`;
    const waiting = ["outbox", "deferred", "restore", "unsent"].reduce(
      (n, it) => n + count(device, `tidemark_${it}`),
      0,
    );
    if (waiting > 0) return `${device.name} has work to do`;
    const parked = parkedOf(device, "kind NOT IN ('hidden', 'dead', 'foreign')");
    if (parked.length > 0) return `${device.name} keeps ${parked.join(", ")} out of the tables`;
  }
  const unsettled = checkMembership(members);
  if (unsettled !== null) return unsettled;
  const [first, ...others] = members as [SimulatedDevice, ...SimulatedDevice[]];
  for (const other of others) {
    for (const model of modelsOf(Math.min(first.schema, other.schema) as 1 | 2)) {
      const ours = readTable(first.disk, first.disk.writer!, model);
      const theirs = readTable(other.disk, other.disk.writer!, model);
      const different = firstDifference(ours, theirs);
      if (different !== null) return `${first.name} and ${other.name} differ: ${model.name} ${different}`;
    }
  }
  return null;
}

function firstDifference(
  ours: ReadonlyMap<string, ReadonlyMap<string, Value>>,
  theirs: ReadonlyMap<string, ReadonlyMap<string, Value>>,
): string | null {
  for (const record of new Set([...ours.keys(), ...theirs.keys()])) {
    const [left, right] = [ours, theirs].map((table) => words(table.get(record)));
    if (left !== right) return `${record}: ${left} and ${right}`;
  }
  return null;
}

function words(values: ReadonlyMap<string, Value> | undefined): string {
  return values === undefined ? "absent" : JSON.stringify(Object.fromEntries(values));
}

/** Every table must be what the ledger comes to, which never forgets anything. */
function checkAgainstLedger(world: World, invariant: string): void {
  const counted: Ledger = countedWrites(world);
  for (const device of world.members) {
    const models = modelsOf(device.schema);
    const expected = counted.merged(models);
    for (const model of models) {
      const actual = readTable(device.disk, device.disk.writer!, model);
      const different = firstDifference(visible(model, expected.get(model.name)!), actual);
      if (different !== null) {
        throw new Violation(invariant, `${model.name} ${different} at ${device.name} (what must be, and what is)`);
      }
    }
  }
}

/** The doctor, who looks at the sync tables as nobody else does, finds nothing that was broken. */
async function examineAll(world: World): Promise<void> {
  for (const device of world.members) {
    device.begin(async () => {
      const { findings } = await device.kernel.tidemark.doctor();
      const faults = findings.filter(({ severity, code }) => severity === "error" || code === "leftovers");
      if (faults.length > 0) {
        throw new Violation("the doctor finds no fault", `${device.name}: ${JSON.stringify(faults)}`);
      }
    });
    await device.finishTasks();
  }
  world.check();
}

function visible(model: LibraryModel, records: ReadonlyMap<string, ExpectedRecord>) {
  return new Map(
    [...records].flatMap(([record, { visible, values }]) =>
      visible ? [[record, new Map(model.columns.map(({ name }) => [name, values.get(name) ?? null]))] as const] : [],
    ),
  );
}

/** When everybody has everything and says so, nobody need remember anything. */
async function forgetAll(world: World): Promise<void> {
  const endMs = world.timeline.elapsedMs + CALM_LIMIT_MS;
  let left: string | null = null;
  while (world.timeline.elapsedMs < endMs) {
    for (const device of world.members) {
      world.prune(device);
      await device.finishTasks();
      await world.wait(1_000);
    }
    left = remembered(world);
    if (left === null) return;
  }
  throw new Violation("nothing is left to remember", left!);
}

function remembered(world: World): string | null {
  for (const device of world.members) {
    const stamps = count(device, "tidemark_stamp");
    if (stamps > 0) return `${device.name} has ${stamps} stamps`;
    // A model that this version does not know is kept for the version that does.
    const parked = parkedOf(device, "kind <> 'foreign'");
    if (parked.length > 0) return `${device.name} keeps ${parked.join(", ")}`;
    const waiting = count(device, "tidemark_waiting");
    if (waiting > 0) return `${device.name} waits for ${waiting} targets`;
    const bytes = device.disk
      .prepareUnseen(device.disk.writer!, "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'tidemark_%'")
      .pluck()
      .get() as number;
    if (bytes > MOST_SYNC_BYTES) return `the sync tables of ${device.name} take ${bytes} bytes`;
  }
  return null;
}

function count({ disk }: SimulatedDevice, table: string): number {
  return disk.prepareUnseen(disk.writer!, `SELECT count(*) FROM ${table}`).pluck().get() as number;
}

function parkedOf({ disk }: SimulatedDevice, condition: string): readonly string[] {
  return disk
    .prepareUnseen(
      disk.writer!,
      `SELECT m.name || ' ' || p.record || ' (' || p.kind || ': ' || p.reason || ')'
       FROM tidemark_parked p JOIN tidemark_model m ON m.num = p.model WHERE ${condition}`,
    )
    .pluck()
    .all() as string[];
}
