import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectSameTable, inOtherProcess, onFile, TestLibrary } from "./library.test-support.js";

@Entity()
class Machine {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
}

@Entity()
class Disk {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) label!: string;
  @ManyToOne(() => Machine, { nullable: false, onDelete: "CASCADE" }) machine!: Machine;
}

@Entity()
class Item {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @Column({ type: "blob", nullable: true }) thumb!: Buffer | null;
  @ManyToOne(() => Disk, { nullable: false, onDelete: "CASCADE" }) disk!: Disk;
  @ManyToOne(() => Item, { nullable: true, onDelete: "CASCADE" }) parent!: Item | null;
}

/** Anybody may remark upon anything. */
@Entity()
class Remark {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
  @ManyToOne(() => Item, { nullable: false, onDelete: "CASCADE" }) about!: Item;
}

let library: TestLibrary;
afterEach(() => library.dispose());

async function owners(): Promise<{ a: TestKernel; b: TestKernel }> {
  library = new TestLibrary({
    entities: [Machine, Disk, Item, Remark],
    declarations: [
      { entity: Machine, isDevice: true, ownership: { kind: "device", owner: "" } },
      { entity: Disk, ownership: { kind: "device", owner: "machine" } },
      { entity: Item, ownership: { kind: "device", owner: "disk.machine" } },
      { entity: Remark, ownership: { kind: "shared" } },
    ],
  });
  const { a, b } = await library.pair();
  for (const [kernel, name] of [
    [a, "a"],
    [b, "b"],
  ] as const) {
    const machine = await kernel.dataSource.getRepository(Machine).save({ uuid: name, name: `machine ${name}` });
    const disk = await kernel.dataSource.getRepository(Disk).save({ uuid: `disk-${name}`, label: name, machine });
    const root = await kernel.dataSource
      .getRepository(Item)
      .save({ uuid: `root-${name}`, name: "root", thumb: Buffer.from([0, 1]), disk, parent: null });
    await kernel.dataSource.getRepository(Item).save({ uuid: `child-${name}`, name: "child", disk, parent: root });
  }
  await library.settle(a, b);
  return { a, b };
}

async function tables(kernel: TestKernel): Promise<unknown> {
  const { dataSource } = kernel;
  return {
    machines: await dataSource.getRepository(Machine).find({ order: { uuid: "ASC" } }),
    disks: (await dataSource.getRepository(Disk).find({ relations: { machine: true }, order: { uuid: "ASC" } })).map(
      ({ uuid, label, machine }) => ({ uuid, label, machine: machine.uuid }),
    ),
    items: (
      await dataSource.getRepository(Item).find({ relations: { disk: true, parent: true }, order: { uuid: "ASC" } })
    ).map(({ uuid, name, thumb, disk, parent }) => ({ uuid, name, thumb, disk: disk.uuid, parent: parent?.uuid })),
  };
}

async function pruned(kernel: TestKernel) {
  const pruning = kernel.tidemark.services.get(logMaintenance).prune();
  await library.clock.settle();
  return await pruning;
}

async function expectTakenBack(kernel: TestKernel, record: string): Promise<void> {
  expect(kernel.recordedOf("changeRefused").map((event) => event.record)).toContain(record);
  const journal = await kernel.tidemark.journal({ kind: "refused-change" });
  expect(journal.map((entry) => entry.record)).toContain(record);
}

describe("a record that another device owns", () => {
  it("may be changed by its owner at any time", async () => {
    const { a, b } = await owners();
    await b.dataSource.getRepository(Item).update({ uuid: "root-b" }, { name: "renamed" });
    await b.dataSource.getRepository(Item).delete({ uuid: "child-b" });
    await library.settle(a, b);
    expect(await tables(a)).toEqual(await tables(b));
    expect(await a.dataSource.getRepository(Item).findOneByOrFail({ uuid: "root-b" })).toMatchObject({
      name: "renamed",
    });
    expectSameTable([a, b], "item", { local: ["id", "diskId", "parentId"] });
    expect([...a.recordedOf("changeRefused"), ...b.recordedOf("changeRefused")]).toEqual([]);
  });

  it("is put back after an edit", async () => {
    const { a, b } = await owners();
    const before = await tables(a);
    await b.dataSource.getRepository(Item).update({ uuid: "root-a" }, { name: "mine now", thumb: null });
    await library.settle(a, b);
    expect(await tables(b)).toEqual(before);
    expect(await tables(a)).toEqual(before);
    await expectTakenBack(b, "root-a");
    const [entry] = await b.tidemark.journal({ kind: "refused-change" });
    expect(entry!.values).toMatchObject({ name: "mine now", thumb: null });
  });

  it("is put back with what refers to it by a peer that remembers more than this device", async () => {
    const { a, b } = await owners();
    const about = await b.dataSource.getRepository(Item).findOneByOrFail({ uuid: "root-b" });
    await b.dataSource.getRepository(Remark).save({ uuid: "remark", text: "well done", about });
    await library.settle(a, b);
    for (const kernel of [a, b]) await kernel.tidemark.services.get(logMaintenance).acknowledge();
    await library.clock.advance(1_000);
    library.network.cut("a", "b");
    await a.dataSource.getRepository(Item).update({ uuid: "root-b" }, { name: "mine now" });
    const { stamps } = await pruned(a);
    expect(stamps).toBeGreaterThan(0);
    library.network.heal("a", "b");
    await library.settle(a, b);
    await expectTakenBack(a, "root-b");
    expect(await a.dataSource.getRepository(Remark).find({ relations: { about: true } })).toMatchObject([
      { uuid: "remark", about: { uuid: "root-b", name: "root" } },
    ]);
  });

  it("is put back after a deletion, with all that SQLite deleted along with it", async () => {
    const { a, b } = await owners();
    const before = await tables(a);
    await b.dataSource.getRepository(Item).delete({ uuid: "root-a" });
    await library.settle(a, b);
    expect(await tables(b)).toEqual(before);
    expect(await tables(a)).toEqual(before);
    await expectTakenBack(b, "root-a");
    await expectTakenBack(b, "child-a");
  });

  it("is put back after its whole machine was deleted", async () => {
    const { a, b } = await owners();
    const before = await tables(a);
    await b.dataSource.getRepository(Machine).delete({ uuid: "a" });
    await library.settle(a, b);
    expect(await tables(b)).toEqual(before);
    expect(await tables(a)).toEqual(before);
  });

  it("does not come into being here, and what was said of it at once is kept for the day on which it does", async () => {
    const { a, b } = await owners();
    const disk = await b.dataSource.getRepository(Disk).findOneByOrFail({ uuid: "disk-a" });
    await b.dataSource.transaction(async (manager) => {
      const about = await manager.getRepository(Item).save({ uuid: "early", name: "x", disk, parent: null });
      await manager.getRepository(Remark).save({ uuid: "remark", text: "too early", about });
    });
    await library.settle(a, b);
    await expectTakenBack(b, "early");
    for (const kernel of [a, b]) {
      expect(await kernel.dataSource.getRepository(Remark).count()).toBe(0);
      expect((await kernel.tidemark.status()).parked.hidden).toBe(1);
    }
  });

  it("does not come into being here", async () => {
    const { a, b } = await owners();
    const before = await tables(a);
    const disk = await b.dataSource.getRepository(Disk).findOneByOrFail({ uuid: "disk-a" });
    const intruder = await b.dataSource.getRepository(Item).save({ uuid: "intruder", name: "x", disk, parent: null });
    await b.dataSource.getRepository(Item).save({ uuid: "intruder2", name: "y", disk, parent: intruder });
    await library.settle(a, b);
    expect(await tables(b)).toEqual(before);
    expect(await tables(a)).toEqual(before);
    await expectTakenBack(b, "intruder");
  });

  it("can't be taken over, nor given away by somebody else", async () => {
    const { a, b } = await owners();
    const before = await tables(a);
    await b.dataSource.query(
      `UPDATE item SET "diskId" = (SELECT id FROM disk WHERE uuid = 'disk-b') WHERE uuid = 'child-a'`,
    );
    await b.dataSource.getRepository(Disk).update({ uuid: "disk-a" }, { machine: { uuid: "b" } as Machine });
    await library.settle(a, b);
    expect(await tables(b)).toEqual(before);
    expect(await tables(a)).toEqual(before);
    await expectTakenBack(b, "child-a");
    await expectTakenBack(b, "disk-a");
  });

  it("stays the owner's while it waits to be put back, whatever is done to it meanwhile", async () => {
    const { a, b } = await owners();
    const before = await tables(a);
    await a.tidemark.pause();
    const items = b.dataSource.getRepository(Item);
    await b.dataSource.query(
      `UPDATE item SET "diskId" = (SELECT id FROM disk WHERE uuid = 'disk-b') WHERE uuid = 'child-a'`,
    );
    await b.dataSource.getRepository(Disk).update({ uuid: "disk-a" }, { machine: { uuid: "b" } as Machine });
    await library.clock.advance(1_000);
    // By the rows as they are now, all of this would be b's.
    await items.update({ uuid: "child-a" }, { name: "stolen" });
    await items.update({ uuid: "root-a" }, { name: "stolen, too" });
    const disk = await b.dataSource.getRepository(Disk).findOneByOrFail({ uuid: "disk-a" });
    await items.save({ uuid: "intruder", name: "x", disk, parent: null });
    await library.clock.advance(1_000);
    await items.delete({ uuid: "child-a" });
    await library.clock.advance(1_000);
    const own = await b.dataSource.getRepository(Disk).findOneByOrFail({ uuid: "disk-b" });
    await items.save({ uuid: "child-a", name: "anew", disk: own, parent: null });
    await library.clock.advance(1_000);
    await a.tidemark.resume();
    await library.settle(a, b);
    expect(await tables(b)).toEqual(before);
    expect(await tables(a)).toEqual(before);
  });

  it("is put back after another process changed it while the kernel was stopped and the owner away", async () => {
    const { a, b } = await owners();
    const before = await tables(a);
    await b.tidemark.stop();
    await a.tidemark.pause();
    await inOtherProcess(
      b.database,
      "PRAGMA foreign_keys = ON",
      "UPDATE item SET name = 'x'",
      "DELETE FROM disk WHERE uuid = 'disk-a'",
    );
    const again = await library.restart("b", b, { dial: ["a"] });
    await library.clock.advance(2_000);
    await a.tidemark.resume();
    await library.settle(a, again);
    const after = (await tables(a)) as { items: { uuid: string; name: string }[] };
    expect(await tables(again)).toEqual(after);
    // b's own record was b's to change.
    expect(after).toEqual({
      ...(before as object),
      items: (before as typeof after).items.map((item) => (item.uuid.endsWith("-b") ? { ...item, name: "x" } : item)),
    });
  });
});

it("restores what a peer has forgotten the stamps of, and what it has forgotten altogether", async () => {
  const { a, b } = await owners();
  // Only b prunes: its records have lost their stamps there, and have them here.
  const maintenance = b.tidemark.services.get(logMaintenance);
  await b.dataSource.query("DELETE FROM item WHERE uuid = 'child-b'");
  await library.settle(a, b);
  for (const kernel of [a, b]) await kernel.tidemark.services.get(logMaintenance).acknowledge();
  await library.clock.advance(1_000);
  expect((await maintenance.prune()).stamps).toBeGreaterThan(0);
  expect((await a.tidemark.status()).logEntries).toBeGreaterThan(0);

  await a.dataSource.query("UPDATE item SET name = 'not yours' WHERE uuid = 'root-b'");
  await a.dataSource.query(
    "INSERT INTO item (uuid, name, diskId) SELECT 'child-b', 'not yours', id FROM disk WHERE uuid = 'disk-b'",
  );
  await library.settle(a, b);
  expect(await a.dataSource.query("SELECT uuid, name FROM item WHERE uuid LIKE '%-b'")).toEqual([
    { uuid: "root-b", name: "root" },
  ]);
  expect(await a.dataSource.query("SELECT * FROM tidemark_restore")).toEqual([]);
});

it("goes on being changed by who made it until somebody has heard that it was handed over", async () => {
  const { a, b } = await owners();
  await b.tidemark.pause();
  await library.clock.advance(1_000);
  const items = a.dataSource.getRepository(Item);
  const [own] = await a.dataSource.getRepository(Disk).findBy({ uuid: "disk-a" });
  const [theirs] = await a.dataSource.getRepository(Disk).findBy({ uuid: "disk-b" });
  for (const uuid of ["edited", "deleted"]) {
    await items.save({ uuid, name: "mine", disk: own!, parent: null });
    await library.clock.advance(10);
    await items.update({ uuid }, { disk: theirs! });
    await library.clock.advance(10);
  }
  await items.update({ uuid: "edited" }, { name: "yours, with a better name" });
  await items.delete({ uuid: "deleted" });
  await b.tidemark.resume();
  await library.settle(a, b);
  expect(await b.dataSource.query("SELECT uuid, name FROM item WHERE uuid LIKE '%ed'")).toEqual([
    { uuid: "edited", name: "yours, with a better name" },
  ]);
  expect(await a.dataSource.query("SELECT * FROM tidemark_restore")).toEqual([]);
});

it("was the former owner's as long as it was, however much was changed before it was handed over", async () => {
  const { a, b } = await owners();
  await a.dataSource.transaction(async (manager) => {
    await manager.query("UPDATE item SET name = 'last words' WHERE uuid = 'root-a'");
    // More than one slice folds.
    await manager.query(
      `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 2500)
       INSERT INTO item (uuid, name, diskId) SELECT 'item-' || n, 'item', (SELECT id FROM disk WHERE uuid = 'disk-a') FROM s`,
    );
    await manager.query("UPDATE disk SET machineUuid = 'b' WHERE uuid = 'disk-a'");
  });
  await library.settle(a, b);
  expect(a.recordedOf("changeRefused")).toEqual([]);
  expect(await b.dataSource.getRepository(Item).countBy({ name: "item" })).toBe(2_500);
  expect(await b.dataSource.getRepository(Item).findOneByOrFail({ uuid: "root-a" })).toMatchObject({
    name: "last words",
  });
});

it("what was written unseen to records of others goes to the journal, and is taken back", async () => {
  const { a, b } = await owners();
  onFile(
    a.database,
    "INSERT INTO tidemark_applying VALUES (1)",
    "UPDATE item SET name = 'unseen' WHERE uuid IN ('root-a', 'root-b')",
    "INSERT INTO item (uuid, name, diskId) SELECT 'stray', 'unseen', id FROM disk WHERE uuid = 'disk-b'",
  );
  const again = await library.restart("a", a);
  const peer = await library.restart("b", b, { dial: ["a"] });
  await library.settle(again, peer);
  expect(await peer.dataSource.query("SELECT uuid, name FROM item WHERE uuid NOT LIKE 'child%' ORDER BY uuid")).toEqual(
    [
      { uuid: "root-a", name: "unseen" },
      { uuid: "root-b", name: "root" },
    ],
  );
  const journal = await again.tidemark.journal();
  expect(journal.map(({ kind, record, values }) => [kind, record, values?.name])).toEqual([
    ["refused-change", "stray", "unseen"],
    ["refused-change", "root-b", "unseen"],
  ]);
});

it("is put back where a device changes it that has only just joined, and has told its owner nothing yet", async () => {
  library = new TestLibrary({
    entities: [Machine, Disk],
    declarations: [
      { entity: Machine, isDevice: true, ownership: { kind: "device", owner: "" } },
      { entity: Disk, ownership: { kind: "device", owner: "machine" } },
    ],
  });
  const a = await library.device("a");
  const machine = await a.dataSource.getRepository(Machine).save({ uuid: "a", name: "machine a" });
  await a.dataSource.getRepository(Disk).save({ uuid: "disk-a", label: "right", machine });
  const b = await library.device("b", { dial: ["a"] });
  await library.settle(a, b);
  library.network.cut("a", "b");
  await b.dataSource.query("UPDATE disk SET label = 'wrong'");
  await library.clock.advance(60_000);
  library.network.heal("a", "b");
  await library.settle(a, b);
  for (const { dataSource } of [a, b])
    expect(await dataSource.query("SELECT label FROM disk")).toEqual([{ label: "right" }]);
});
