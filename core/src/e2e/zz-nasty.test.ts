import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTestKernel, type TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { Writer } from "../storage/writer.js";
import { API_VERSION, definePlugin, type AnyPlugin } from "@tidemark/plugin-api";

let chaos: (() => boolean) | null = null;
const original = Writer.prototype.run;
Writer.prototype.run = function (this: Writer, job: any) {
  const body = job.body;
  if (/prepare|found|uninstall|reset/.test(job.name)) return original.call(this, job) as any;
  return original.call(this, { ...job, body: (db: any) => {
    const r = body(db);
    if (chaos?.()) throw new Error("chaos in " + job.name);
    return r;
  } }) as any;
} as any;


/**
 * Random work on real kernels, with cut links, lost connections and restarts, then calm: whatever has happened, all devices
 * must end with the same records, the same hidden records, and no reference that leads nowhere. A failing seed is kept in
 * the list below and run for ever.
 */
@Entity()
class Machine {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
}

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @Column({ type: "integer", default: 0 }) size!: number;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "SET NULL" }) parent!: Folder | null;
}

@Entity()
class Item {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @ManyToOne(() => Machine, { nullable: false, onDelete: "CASCADE" }) machine!: Machine;
  @ManyToOne(() => Folder, { nullable: false, onDelete: "CASCADE" }) folder!: Folder;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "SET NULL" }) shortcut!: Folder | null;
  @ManyToMany(() => Label) @JoinTable({ name: "item_label" }) labels!: Label[];
}

@Entity()
class Label {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @Column({ type: "varchar", nullable: true }) colour!: string | null;
}

const ENTITIES = [Machine, Folder, Item, Label];
const DECLARATIONS = [
  { entity: Machine, ownership: { kind: "shared" }, isDevice: true },
  { entity: Folder, ownership: { kind: "shared" } },
  { entity: Item, ownership: { kind: "device", owner: "machine" } },
  { entity: Label, ownership: { kind: "shared" } },
] as const;
const MODELS = ["Machine", "Folder", "Item", "Label", "Item.labels"];
const NAMES = ["a", "b", "c", "d"];

/** Seeds that have failed once. */
const KEPT = [
  106,
  120,
  164, // a restored record kept the damaged value, because its stamp was equal
  117,
  124,
  208, // an edit of a device-owned row left a kept reference behind, which then came back elsewhere only
];

function fullPlugin(random: () => number, rate: number): AnyPlugin {
  return definePlugin({
    manifest: { id: "full", version: "1.0.0", apiVersion: API_VERSION },
    activate({ hooks }) {
      hooks.onCatchUpFailure.tap(() => ({ action: random() < rate ? "full-backfill" : "retry", delayMs: 500, reason: "x" }) as any);
    },
  });
}
const FULL = Number(process.env.FULL ?? 0);
const CHAOS = Number(process.env.CHAOS ?? 0.02);
const open: TestKernel[] = [];
afterEach(async () => {
  for (const kernel of open.splice(0)) await kernel.dispose();
});

class World {
  readonly random: SeededRandom;
  readonly clock = new ManualClock();
  readonly network: InMemoryNetwork;
  readonly devices: TestKernel[] = [];
  readonly trace: string[] = [];
  topology = 0;
  #serial = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.network = new InMemoryNetwork({ clock: this.clock, random: this.random });
  }

  below(n: number): number {
    return Math.floor(this.random.next() * n);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  dials(index: number): string[] {
    if (index === 0) return [];
    if (this.topology === 1) return [NAMES[0]!];
    if (this.topology === 2) return NAMES.slice(0, index);
    if (this.topology === 3) return [NAMES[index - 1]!, ...(index > 1 ? [NAMES[0]!] : [])];
    return [NAMES[index - 1]!];
  }

  async add(index: number, database?: string): Promise<TestKernel> {
    const name = NAMES[index]!;
    // A line, so that changes have to be relayed; the founder is the first.
    const kernel = await createTestKernel({
      device: name,
      entities: ENTITIES,
      declarations: DECLARATIONS,
      network: this.network,
      clock: this.clock,
      random: new SeededRandom(this.below(2 ** 31)),
      dial: this.dials(index),
      plugins: FULL > 0 ? [fullPlugin(() => this.random.next(), FULL)] : [],
      role: index === 0 ? "found" : "join",
      settings: { replication: { pageRecords: 1 + this.below(5), retryDelayMs: 1_000 } },
      ...(database !== undefined && { database }),
    });
    open.push(kernel);
    await kernel.tidemark.start();
    if (database === undefined) {
      if (index > 0) this.trace.push(`add ${name} pre-data`);
      await kernel.dataSource.query("INSERT OR IGNORE INTO machine (uuid, name) VALUES (?, ?)", [name, name]);
    }
    this.devices[index] = kernel;
    return kernel;
  }

  async work(index: number): Promise<void> {
    const { dataSource } = this.devices[index]!;
    const name = NAMES[index]!;
    const folder = () => `f${this.below(8)}`;
    const label = () => `l${this.below(5)}`;
    this.#serial += 1;
    const text = `${name}${this.#serial}`;
    const statements: readonly (() => [string, unknown[]])[] = [
      () => [
        "INSERT OR IGNORE INTO folder (uuid, name, parentId) VALUES (?, ?, (SELECT id FROM folder WHERE uuid = ?))",
        [folder(), text, folder()],
      ],
      () => ["UPDATE folder SET name = ? WHERE uuid = ?", [text, folder()]],
      () => ["UPDATE folder SET size = size + 1 WHERE uuid = ?", [folder()]],
      () => [
        "UPDATE folder SET parentId = (SELECT id FROM folder WHERE uuid = ?) WHERE uuid = ?",
        [folder(), folder()],
      ],
      () => ["DELETE FROM folder WHERE uuid = ?", [folder()]],
      () => ["INSERT OR IGNORE INTO label (uuid, name) VALUES (?, ?)", [label(), text]],
      () => ["UPDATE label SET colour = ? WHERE uuid = ?", [text, label()]],
      () => ["DELETE FROM label WHERE uuid = ?", [label()]],
      () => [
        "INSERT INTO item (uuid, name, machineId, folderId, shortcutId) SELECT ?, ?, m.id, f.id, (SELECT id FROM folder WHERE uuid = ?) FROM machine m, folder f WHERE m.uuid = ? AND f.uuid = ?",
        [`i-${text}`, text, folder(), name, folder()],
      ],
      () => [
        "UPDATE item SET name = ? WHERE id IN (SELECT i.id FROM item i JOIN machine m ON m.id = i.machineId WHERE m.uuid = ? ORDER BY i.uuid LIMIT 2)",
        [text, name],
      ],
      () => [
        "UPDATE item SET folderId = (SELECT id FROM folder ORDER BY uuid LIMIT 1) WHERE machineId = (SELECT id FROM machine WHERE uuid = ?) AND id % 3 = ?",
        [name, this.below(3)],
      ],
      () => [
        "DELETE FROM item WHERE id IN (SELECT i.id FROM item i JOIN machine m ON m.id = i.machineId WHERE m.uuid = ? AND i.id % 4 = ?)",
        [name, this.below(4)],
      ],
      () => [
        "INSERT OR IGNORE INTO item_label (itemId, labelId) SELECT i.id, l.id FROM item i, label l WHERE l.uuid = ? AND i.id % 2 = ?",
        [label(), this.below(2)],
      ],
      () => ["DELETE FROM item_label WHERE labelId IN (SELECT id FROM label WHERE uuid = ?)", [label()]],
      () => ["UPDATE item SET machineId = (SELECT id FROM machine ORDER BY uuid LIMIT 1 OFFSET ?) WHERE machineId = (SELECT id FROM machine WHERE uuid = ?) AND id % 3 = ?", [this.below(3), name, this.below(3)]],
      () => ["INSERT OR REPLACE INTO folder (uuid, name, parentId) VALUES (?, ?, (SELECT id FROM folder WHERE uuid = ?))", [folder(), text, folder()]],
      () => ["INSERT OR REPLACE INTO label (uuid, name) VALUES (?, ?)", [label(), text]],
      () => ["UPDATE OR IGNORE label SET uuid = ? WHERE uuid = ?", [label(), label()]],
      () => ["UPDATE OR IGNORE folder SET uuid = ? WHERE uuid = ?", [folder(), folder()]],
      () => ["DELETE FROM item_label WHERE itemId % 2 = ?", [this.below(2)]],
      // Somebody else's record: taken back.
      () => ["UPDATE item SET name = ? WHERE id = ?", [text, 1 + this.below(6)]],
    ];
    const [sql, parameters] = this.pick(statements)();
    this.trace.push(`${name}: ${sql} ${JSON.stringify(parameters)}`);
    try {
      await dataSource.query(sql, parameters);
    } catch (error) {
      // The schema may refuse it (no folder to move to); then nothing has happened.
      this.trace.push(`   refused: ${(error as Error).message}`);
    }
  }

  /** What a pruning plugin does: says what is here, and forgets what everybody has. */
  async prune(index: number, settleMs = 50): Promise<void> {
    const maintenance = this.devices[index]!.tidemark.services.get(logMaintenance);
    await maintenance.acknowledge();
    await this.clock.advance(settleMs);
    const { stamps, hiddenRecords, point } = await maintenance.prune();
    this.trace.push(`${NAMES[index]}: prune ${stamps} stamps, ${hiddenRecords} hidden, up to ${point.hlc}`);
  }

  async restart(index: number): Promise<void> {
    const old = this.devices[index]!;
    this.trace.push(`${NAMES[index]}: restart`);
    await old.tidemark.stop();
    if (old.dataSource.isInitialized) await old.dataSource.destroy();
    await this.add(index, old.database);
  }

  async state(kernel: TestKernel): Promise<readonly string[]> {
    const digests = await Promise.all(MODELS.map((model) => kernel.tidemark.digest(model)));
    return digests.map(({ model, rows, digest }) => `${model} ${rows} ${digest}`);
  }

  async isCalm(): Promise<boolean> {
    const statuses = await Promise.all(this.devices.map((device) => device.tidemark.status()));
    if (statuses.some((status) => status.outbox > 0 || status.backfill !== null || status.origin === null))
      return false;
    const states = await Promise.all(this.devices.map((device) => this.state(device)));
    return states.every((state) => JSON.stringify(state) === JSON.stringify(states[0]));
  }
}

async function run(seed: number): Promise<void> {
  const world = new World(seed);
  chaos = null;
  const size = 2 + world.below(3);
  world.topology = world.below(4);
  const links: [number, number][] = [];
  for (let i = 1; i < size; i++) for (const d of world.dials(i)) links.push([NAMES.indexOf(d), i]);
  world.trace.push(`size ${size} topology ${world.topology}`);
  await world.add(0);
  for (let step = 0; step < 10; step++) await world.work(0);
  let up = 1;
  const steps = 60 + world.below(80);
  const addAt = Array.from({ length: size - 1 }, () => world.below(steps)).sort((a, b) => a - b);
  let pending: Promise<unknown>[] = [];
  const fail = () => world.random.next() < CHAOS;
  chaos = fail;
  for (let step = 0; step < steps; step++) {
    while (up < size && addAt[up - 1]! <= step) {
      chaos = null;
      await Promise.allSettled(pending.splice(0));
      await world.add(up);
      chaos = fail;
      up++;
    }
    const dice = world.random.next();
    const known = links.filter(([a, b]) => a < up && b < up);
    const link = known.length > 0 ? world.pick(known) : null;
    const [x, y] = link === null ? ["", ""] : [NAMES[link[0]]!, NAMES[link[1]]!];
    if (dice < 0.6) await world.work(world.below(up));
    else if (dice < 0.7) {
      // Concurrently: time moves while several devices write.
      await Promise.allSettled(pending.splice(0));
      const advancing = world.clock.advance(world.below(1_500));
      for (let n = 0; n < 4; n++) {
        await world.work(world.below(up));
        const turns = world.below(12);
        for (let t = 0; t < turns; t++) await new Promise((resolve) => setImmediate(resolve));
      }
      await advancing;
    } else if (dice < 0.74 && link) {
      world.trace.push(`cut ${x}-${y}`);
      world.network.cut(x, y);
    } else if (dice < 0.82 && link) {
      world.trace.push(`heal ${x}-${y}`);
      world.network.heal(x, y);
      await world.clock.advance(3_000);
    } else if (dice < 0.86) {
      chaos = null;
      await world.restart(world.below(up));
      chaos = fail;
    } else if (dice < 0.9 && link) {
      const back = world.random.next() < 0.5;
      world.network.loseAfter(back ? { from: y, to: x } : { from: x, to: y }, { frames: world.below(12) });
      world.trace.push(`lose ${x} ${y} ${back}`);
    } else if (dice < 0.95) await world.prune(world.below(up), world.below(2) * 1_200).catch(() => {});
    else await world.clock.advance(world.below(1_500));
  }
  chaos = null;
  for (const [a, b] of links) world.network.heal(NAMES[a]!, NAMES[b]!);
  let calm = false;
  for (let turn = 0; turn < 80 && !calm; turn++) {
    await world.clock.advance(2_000);
    calm = await world.isCalm();
  }
  const states = await Promise.all(world.devices.map((device) => world.state(device)));
  const fails = world.devices.map((d, i) => `${NAMES[i]}: ${JSON.stringify(d.recordedOf("catchUpFailed").slice(-3))} ${JSON.stringify(d.recordedOf("peerRefused").slice(-3))}`);
  const sts = await Promise.all(world.devices.map(async (d) => JSON.stringify(await d.tidemark.status())));
  const context = `seed ${seed}\n${world.trace.join("\n")}\n${fails.join("\n")}\n${sts.join("\n")}`;
  for (const state of states.slice(1)) expect(state, context).toEqual(states[0]);
  expect(calm, context).toBe(true);
  for (const device of world.devices) {
    expect(await device.dataSource.query("PRAGMA foreign_key_check"), context).toEqual([]);
  }
  for (let turn = 0; turn < 2 * size + 2; turn++)
    for (let index = 0; index < size; index++) await world.prune(index, 1_200);
  const after = `${context}\n${world.trace.slice(-size).join("\n")}`;
  for (const device of world.devices) {
    const { logEntries, parked, outbox } = await device.tidemark.status();
    const nothing = { hidden: 0, quarantined: 0, deferred: 0, dead: 0, foreign: 0 };
    expect({ logEntries, outbox, parked }, after).toEqual({ logEntries: 0, outbox: 0, parked: nothing });
    expect(await device.dataSource.query("SELECT count(*) AS n FROM tidemark_waiting"), after).toEqual([{ n: 0 }]);
  }
  const pruned = await Promise.all(world.devices.map((device) => world.state(device)));
  for (const state of pruned.slice(1)) expect(state, after).toEqual(pruned[0]);
}

describe("convergence", () => {
  // TIDEMARK_SEED=100 TIDEMARK_SEEDS=500 looks further.
  const from = Number(process.env.TIDEMARK_SEED ?? 1);
  const count = Number(process.env.TIDEMARK_SEEDS ?? 10);
  const seeds = Array.from({ length: count }, (_, index) => from + index);
  it.each(process.env.TIDEMARK_SEED === undefined ? [...KEPT, ...seeds] : seeds)("seed %i", { timeout: 60_000 }, run);
});
