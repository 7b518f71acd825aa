// Damages write-ahead logs: cuts them off, tears their ends, flips bytes. SQLite drops what it can't trust, so the file
// opens at an earlier commit. What is left must be whole, and come into step with the peer again: a loss of what was never
// made durable goes unnoticed by everybody, and a greater one is noticed and repaired.

import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { InMemoryNetwork } from "../../transport/in-memory.js";
import { Chance } from "../simulator/chance.js";
import { declarationsOf, entitiesOf } from "../simulator/library-model.js";
import { takeStep } from "../simulator/steps.js";
import { type DeviceClock, Timeline } from "../simulator/timeline.js";
import { TELL_BADGES_APART } from "../simulator/work.js";
import { World } from "../simulator/world.js";
import { createTestKernel, type TestKernel } from "../test-kernel.js";
import { checkFile, differenceOf, tablesOf } from "./file-checks.js";

/** How much is to be damaged. */
export interface DamageRunOptions {
  readonly wals: number;
  readonly seed: number;
  /** One in so many is also synced with the peer. Default 10. */
  readonly compareEvery?: number;
  /** Told now and then how far it is. */
  readonly onProgress?: (text: string) => void;
}

/** What was damaged, and what came of it. */
export interface DamageRunResult {
  readonly truncated: number;
  readonly torn: number;
  readonly flipped: number;
  /** Those that were synced with the peer. */
  readonly compared: number;
  /** Those of them that had lost what the peer had heard of. */
  readonly regressed: number;
  /** What went wrong; nothing, if all is well. */
  readonly problems: readonly string[];
}

type Damage = "truncated" | "torn" | "flipped";

/** Logs damaged in the life of one library, and the moments at which they are taken. */
const LOGS_PER_LIBRARY = 200;
const MOMENTS = 10;
const STEPS_BETWEEN = 6;
const STEP_LIMIT_MS = 300_000;

interface Moment {
  readonly survivor: string;
  readonly victim: string;
  /** What a loss of power can't take from the victim's log. */
  readonly durableBytes: number;
  readonly nowMs: number;
}

/** Damages `wals` logs. */
export async function damageRuns({
  wals,
  seed,
  compareEvery = 10,
  onProgress = () => {},
}: DamageRunOptions): Promise<DamageRunResult> {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-logs-"));
  const done = { truncated: 0, torn: 0, flipped: 0, compared: 0, regressed: 0 };
  const problems: string[] = [];
  try {
    for (let life = 0, count = 0; count < wals && problems.length === 0; life++) {
      const chance = Chance.of(seed + life, "damage");
      const moments = await livedThrough(seed + life, directory);
      for (let index = 0; index < LOGS_PER_LIBRARY && count < wals; index++, count++) {
        const moment = moments[index % moments.length]!;
        const path = join(directory, "damaged.sqlite");
        const { damage, offset } = damageLog(moment, path, chance);
        done[damage] += 1;
        const what = `seed ${seed + life}, log ${index}, ${damage} at ${offset}`;
        try {
          const compared = count % compareEvery === 0;
          const lost = examine({ path, moment, lossOfPower: offset >= moment.durableBytes });
          if (!compared) continue;
          done.compared += 1;
          if (lost) done.regressed += 1;
          await syncAgain({ path, moment, lost, directory, chance });
        } catch (error) {
          problems.push(`${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
        }
      }
      onProgress(`${count} of ${wals} logs damaged, ${problems.length} problems`);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return { ...done, problems };
}

/** Two devices that work for a while, and their files at several moments. Logs are never emptied meanwhile. */
async function livedThrough(seed: number, directory: string): Promise<readonly Moment[]> {
  const home = mkdtempSync(join(directory, "library-"));
  const world = new World({ seed, profile: "calm", directory: home, size: 2, checkpoints: false });
  const moments: Moment[] = [];
  const [survivor, victim] = world.devices as [(typeof world.devices)[0], (typeof world.devices)[0]];
  try {
    await world.start(survivor);
    survivor.begin(async () => {
      for (const { sql, parameters } of world.work.foundation()) await survivor.execute(sql, parameters);
    });
    await world.wait(10);
    // Switched off and on again, so that its file holds the tables, and the log all the rest.
    await world.start(victim);
    await world.wait(3_000);
    while (moments.length < MOMENTS) {
      for (let step = 0; step < STEPS_BETWEEN; step++) await takeStep(world);
      if (victim.state !== "running" || survivor.state !== "running" || victim.durableLogBytes === 0) continue;
      const moment: Moment = {
        survivor: join(home, `survivor-${moments.length}.sqlite`),
        victim: join(home, `victim-${moments.length}.sqlite`),
        durableBytes: victim.durableLogBytes,
        nowMs: world.timeline.nowMs,
      };
      survivor.disk.copyTo(moment.survivor);
      victim.disk.copyTo(moment.victim);
      moments.push(moment);
    }
  } finally {
    await world.dispose();
  }
  return moments;
}

/** Damages a copy of the victim's log; half of the damages lie where only a loss of power can reach. */
function damageLog(moment: Moment, path: string, chance: Chance): { damage: Damage; offset: number } {
  for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
  copyFileSync(moment.victim, path);
  const log = existsSync(`${moment.victim}-wal`) ? readFileSync(`${moment.victim}-wal`) : Buffer.alloc(0);
  const from = chance.happens(0.5) ? Math.min(moment.durableBytes, log.length) : 0;
  const offset = from + chance.below(Math.max(1, log.length - from));
  const damage = chance.pick(["truncated", "torn", "flipped"] as const);
  if (damage === "truncated") writeFileSync(`${path}-wal`, log.subarray(0, offset));
  else {
    if (damage === "flipped" && offset < log.length) log[offset] = log[offset]! ^ (1 << chance.below(8));
    // The end of what was being written: some of it is there, the rest is what stood on the disk before.
    else for (let at = offset; at < log.length; at++) log[at] = chance.happens(0.9) ? 0 : chance.below(256);
    writeFileSync(`${path}-wal`, log);
  }
  return { damage, offset };
}

/** Looks at what SQLite makes of it; returns whether the peer has heard of more than is left. */
function examine({
  path,
  moment,
  lossOfPower,
}: {
  readonly path: string;
  readonly moment: Moment;
  readonly lossOfPower: boolean;
}): boolean {
  const copy = `${path}.copy`;
  for (const end of ["", "-wal"]) {
    rmSync(`${copy}${end}`, { force: true });
    if (existsSync(`${path}${end}`)) copyFileSync(`${path}${end}`, `${copy}${end}`);
  }
  const db = new Database(copy);
  const peer = new Database(moment.survivor);
  try {
    const problems = checkFile(db);
    if (problems.length > 0) throw new Error(problems.join("; "));
    const exists = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'tidemark_state'").get() !== undefined;
    const own = (exists ? db.prepare("SELECT hlc, token FROM tidemark_state").get() : undefined) as
      | { hlc: number; token: number }
      | undefined;
    // As the peer has heard it from this origin itself: what it has of it, and its last session.
    const heard = peer
      .prepare(
        `SELECT max(v.hlc) AS hlc, ifnull(max(p.token), 0) AS token FROM tidemark_member m
         LEFT JOIN tidemark_vector v ON v.origin = m.num AND v.member = (SELECT self FROM tidemark_state)
         LEFT JOIN tidemark_peer p ON p.member = m.num
         WHERE m.device = 'b'`,
      )
      .get() as { hlc: number | null; token: number };
    const lost = (heard.hlc ?? 0) > (own?.hlc ?? 0) || heard.token > (own?.token ?? 0);
    if (lost && lossOfPower)
      throw new Error(`the peer has heard ${heard.hlc} of what was not durable, and ${own?.hlc} is left`);
    return lost;
  } finally {
    db.close();
    peer.close();
  }
}

/** Starts both devices on their files, and lets them come into step. */
async function syncAgain({
  path,
  moment,
  lost,
  directory,
  chance,
}: {
  readonly path: string;
  readonly moment: Moment;
  readonly lost: boolean;
  readonly directory: string;
  readonly chance: Chance;
}): Promise<void> {
  const survivorFile = join(directory, "survivor.sqlite");
  for (const end of ["", "-wal", "-shm"]) rmSync(`${survivorFile}${end}`, { force: true });
  for (const end of ["", "-wal"]) {
    if (existsSync(`${moment.survivor}${end}`)) copyFileSync(`${moment.survivor}${end}`, `${survivorFile}${end}`);
  }
  const errors: unknown[] = [];
  const timeline = new Timeline({ random: chance, startMs: moment.nowMs, onError: (error) => errors.push(error) });
  const network = new InMemoryNetwork({ clock: timeline.clock(), random: chance });
  const kernels: TestKernel[] = [];
  try {
    for (const [device, database] of [
      ["a", survivorFile],
      ["b", path],
    ] as const) {
      kernels.push(await startOn({ device, database, network, clock: timeline.clock(), timeline, chance }));
    }
    const [a, b] = kernels as [TestKernel, TestKernel];
    const files = kernels.map(({ database }) => new Database(database, { readonly: true }));
    try {
      let apart: string | null = "";
      let reset = false;
      for (let waitedMs = 0; apart !== null && waitedMs < STEP_LIMIT_MS; waitedMs += 2_000) {
        await timeline.run(2_000);
        if (errors.length > 0) throw errors[0];
        const regressed = [a, b].some((kernel) =>
          kernel.recordedOf("peerRefused").some(({ code }) => code === "TIDEMARK_PEER_REGRESSED"),
        );
        if (regressed && !lost) throw new Error("the devices part although nothing was lost that anybody had heard of");
        if (regressed && !reset) await timeline.until(b.tidemark.resetSyncState(), STEP_LIMIT_MS);
        reset ||= regressed;
        for (const { dataSource } of [a, b]) await dataSource.query(TELL_BADGES_APART);
        apart = differenceOf(tablesOf(files[0]!), tablesOf(files[1]!));
      }
      if (apart !== null) throw new Error(`the devices did not come into step: ${apart}`);
    } finally {
      for (const file of files) file.close();
    }
  } finally {
    for (const kernel of kernels) {
      await timeline.until(kernel.tidemark.stop(), STEP_LIMIT_MS);
      await kernel.dispose();
    }
  }
}

async function startOn({
  device,
  database,
  network,
  clock,
  timeline,
  chance,
}: {
  readonly device: string;
  readonly database: string;
  readonly network: InMemoryNetwork;
  readonly clock: DeviceClock;
  readonly timeline: Timeline;
  readonly chance: Chance;
}): Promise<TestKernel> {
  const kernel = await createTestKernel({
    device,
    database,
    network,
    clock,
    random: new Chance(chance.below(2 ** 31)),
    entities: [...entitiesOf(1)],
    declarations: declarationsOf(1),
    dial: device === "a" ? [] : ["a"],
    role: device === "a" ? "found" : "join",
    synchronize: false,
    // With a driver of the application's own the kernel starts no thread, which would know nothing of virtual time.
    dataSourceOptions: { driver: Database } as object,
    settings: { replication: { retryDelayMs: 500, heartbeatMs: 10_000 }, storage: { pollMs: 5_000 } },
  });
  await kernel.dataSource.initialize();
  await timeline.until(kernel.tidemark.start(), STEP_LIMIT_MS);
  return kernel;
}
