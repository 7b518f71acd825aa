import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTestKernel, type TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";

/**
 * Random work on real kernels, with cut links, lost connections and restarts, then calm: whatever has happened, all devices
 * must end with the same records, the same hidden records, and no reference that leads nowhere. New seeds belong to the
 * simulator (`core/src/testing/simulator`), which has taken its place; the seeds that have failed here mean something to
 * this generator only, and run for ever.
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
      dial: index === 0 ? [] : [NAMES[index - 1]!],
      role: index === 0 ? "found" : "join",
      settings: { replication: { pageRecords: 1 + this.below(5), retryDelayMs: 1_000 } },
      ...(database !== undefined && { database }),
    });
    open.push(kernel);
    await kernel.tidemark.start();
    if (database === undefined) {
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
  const size = 2 + world.below(3);
  await world.add(0);
  for (let step = 0; step < 10; step++) await world.work(0);
  for (let index = 1; index < size; index++) {
    await world.add(index);
    if (world.random.next() < 0.5) await world.clock.advance(2_000);
  }
  const steps = 40 + world.below(60);
  for (let step = 0; step < steps; step++) {
    const dice = world.random.next();
    if (dice < 0.75) await world.work(world.below(size));
    else if (dice < 0.8) {
      const link = 1 + world.below(size - 1);
      world.trace.push(`cut ${NAMES[link - 1]}-${NAMES[link]}`);
      world.network.cut(NAMES[link - 1]!, NAMES[link]!);
    } else if (dice < 0.88) {
      const link = 1 + world.below(size - 1);
      world.trace.push(`heal ${NAMES[link - 1]}-${NAMES[link]}`);
      world.network.heal(NAMES[link - 1]!, NAMES[link]!);
      await world.clock.advance(3_000);
    } else if (dice < 0.91) await world.restart(world.below(size));
    else if (dice < 0.95) {
      const link = 1 + world.below(size - 1);
      world.network.loseAfter({ from: NAMES[link - 1]!, to: NAMES[link]! }, { frames: world.below(6) });
    } else if (dice < 0.97) await world.prune(world.below(size));
    else await world.clock.advance(world.below(1_500));
  }
  for (let link = 1; link < size; link++) world.network.heal(NAMES[link - 1]!, NAMES[link]!);
  let calm = false;
  for (let turn = 0; turn < 60 && !calm; turn++) {
    await world.clock.advance(2_000);
    calm = await world.isCalm();
  }
  const states = await Promise.all(world.devices.map((device) => world.state(device)));
  const context = `seed ${seed}\n${world.trace.join("\n")}`;
  for (const state of states.slice(1)) expect(state, context).toEqual(states[0]);
  expect(calm, context).toBe(true);
  for (const device of world.devices) {
    expect(await device.dataSource.query("PRAGMA foreign_key_check"), context).toEqual([]);
    const { findings } = await device.tidemark.doctor();
    const faults = findings.filter(({ severity, code }) => severity === "error" || code === "leftovers");
    expect(faults, context).toEqual([]);
  }
  // Neighbours who compare themselves come to the same conclusion; a link may still be about to lose a frame.
  for (let link = 1; link < size; link++) {
    let outcome = "";
    for (let attempt = 0; attempt < 5 && outcome !== "equal"; attempt++) {
      outcome = "pending";
      world.devices[link]!.tidemark.verify(NAMES[link - 1]!).then(
        (verification) => {
          outcome = verification.outcome;
        },
        (error: Error) => {
          outcome = error.message;
        },
      );
      while (outcome === "pending") await world.clock.advance(100);
      if (outcome !== "equal") await world.clock.advance(5_000);
      expect(outcome, context).not.toBe("different");
    }
    expect(outcome, context).toBe("equal");
  }
  // Once everybody has everything, nothing is left to remember, and nothing stays hidden.
  for (let turn = 0; turn < 2 * size + 2; turn++)
    for (let index = 0; index < size; index++) await world.prune(index, 1_200);
  const after = `${context}\n${world.trace.slice(-size).join("\n")}`;
  for (const device of world.devices) {
    const { logEntries, parked, outbox } = await device.tidemark.status();
    const nothing = { hidden: 0, quarantined: 0, deferred: 0, dead: 0, foreign: 0 };
    expect({ logEntries, outbox, parked }, after).toEqual({ logEntries: 0, outbox: 0, parked: nothing });
  }
  const pruned = await Promise.all(world.devices.map((device) => world.state(device)));
  for (const state of pruned.slice(1)) expect(state, after).toEqual(pruned[0]);
}

describe("convergence", () => {
  it.each(KEPT)("seed %i", { timeout: 60_000 }, run);
});
