import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTestKernel, type TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

@Entity()
class Machine {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Drive {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Machine, { nullable: false, onDelete: "CASCADE" }) machine!: Machine;
}

/** Can't be without its note. */
@Entity()
class Remark {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Note, { nullable: false, onDelete: "CASCADE" }) note!: Note;
}

const MINUTE = 60_000;
const START = Date.UTC(2026, 0, 1);
const kernels: TestKernel[] = [];
afterEach(async () => {
  for (const kernel of kernels.splice(0)) await kernel.dispose();
});

it("keeps a change from beyond the drift limit that comes by relay until its time has come", async () => {
  const clocks = {
    early: new ManualClock({ nowMs: START + 8 * MINUTE }),
    middle: new ManualClock({ nowMs: START + 4 * MINUTE }),
    late: new ManualClock({ nowMs: START }),
  };
  const network = new InMemoryNetwork({ clock: clocks.late, random: new SeededRandom(1) });
  const device = async (name: keyof typeof clocks, dial: string[]) => {
    const kernel = await createTestKernel({
      device: name,
      entities: [Note],
      declarations: [{ entity: Note, ownership: { kind: "shared" } }],
      network,
      clock: clocks[name],
      dial,
      role: name === "late" ? "found" : "join",
    });
    kernels.push(kernel);
    await kernel.tidemark.start();
    return kernel;
  };
  const late = await device("late", []);
  const middle = await device("middle", ["late"]);
  await middle.next("roundCompleted", undefined, { past: true });
  const early = await device("early", ["middle"]);
  await early.next("roundCompleted", undefined, { past: true });

  const kept = late.next("batchApplied", ({ counts }) => counts.deferred > 0);
  await early.dataSource.getRepository(Note).save({ uuid: "n1", text: "from the future" });
  await kept;
  expect(await late.dataSource.getRepository(Note).count()).toBe(0);

  // What is written here meanwhile is not dragged along, and what was kept is merged at its time.
  await late.dataSource.getRepository(Note).save({ uuid: "n2", text: "from now" });
  const merged = late.next("batchApplied", ({ counts }) => counts.applied > 0);
  const stamp = await late.dataSource.query("SELECT hlc FROM tidemark_state");
  expect(stamp[0].hlc / 4096).toBeLessThan(START - Date.UTC(2020, 0, 1) + 5 * MINUTE);
  await late.tidemark.digest("Note");
  await clocks.late.advance(4 * MINUTE);
  await merged;
  expect((await late.dataSource.getRepository(Note).findOneByOrFail({ uuid: "n1" })).text).toBe("from the future");
  expect(await late.dataSource.query("SELECT count(*) AS n FROM tidemark_deferred")).toEqual([{ n: 0 }]);
});

it("puts back a record that it has merged when its own clock was further ahead than it is now", async () => {
  const clocks = {
    a: new ManualClock({ nowMs: START + 2 * MINUTE }),
    c: new ManualClock({ nowMs: START + 6 * MINUTE }),
  };
  const network = new InMemoryNetwork({ clock: clocks.a, random: new SeededRandom(1) });
  const device = async (name: keyof typeof clocks, dial: string[]) => {
    const kernel = await createTestKernel({
      device: name,
      entities: [Machine, Drive],
      declarations: [
        { entity: Machine, ownership: { kind: "shared" }, isDevice: true },
        { entity: Drive, ownership: { kind: "device", owner: "machine" } },
      ],
      network,
      clock: clocks[name],
      dial,
    });
    kernels.push(kernel);
    await kernel.tidemark.start();
    return kernel;
  };
  const wait = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 500)
      for (const clock of Object.values(clocks)) await clock.advance(500);
  };
  const a = await device("a", []);
  await wait(1_000);
  const c = await device("c", ["a"]);
  await wait(5_000);
  const machine = await c.dataSource.getRepository(Machine).save({ uuid: "c" });
  await c.dataSource.getRepository(Drive).save({ uuid: "d", machine });
  await wait(2_000);
  for (const clock of Object.values(clocks)) clock.setWallClock(START);
  // Which is no business of this device.
  await a.dataSource.query("DELETE FROM drive");
  await wait(10 * MINUTE);
  expect(await a.dataSource.query("SELECT uuid FROM drive")).toEqual([{ uuid: "d" }]);
  expect((await a.tidemark.doctor()).findings.filter(({ severity }) => severity === "error")).toEqual([]);
});

/** Three devices with clocks of their own, in step. */
async function threeClocks() {
  const clocks = { a: new ManualClock(), b: new ManualClock(), c: new ManualClock() };
  const network = new InMemoryNetwork({ clock: clocks.a, random: new SeededRandom(1) });
  const device = async (name: keyof typeof clocks, dial: string[]) => {
    const kernel = await createTestKernel({
      device: name,
      entities: [Note],
      declarations: [{ entity: Note, ownership: { kind: "shared" } }],
      network,
      clock: clocks[name],
      dial,
    });
    kernels.push(kernel);
    await kernel.tidemark.start();
    return kernel;
  };
  const wait = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 500)
      for (const clock of Object.values(clocks)) await clock.advance(500);
  };
  const a = await device("a", []);
  await wait(1_000);
  const [b, c] = [await device("b", ["a"]), await device("c", ["a"])];
  await wait(5_000);
  return { clocks, a, b, c, wait };
}

it("keeps an edit that comes before the creation that is kept for later, until both are merged", async () => {
  const { clocks, a, b, c, wait } = await threeClocks();
  // For b, whose clock is behind, what the others write comes from the future.
  clocks.b.setWallClock(clocks.b.now() - 18 * MINUTE);
  await c.dataSource.getRepository(Note).save({ uuid: "n1", text: "first" });
  await wait(2_000);
  expect(await b.dataSource.query("SELECT count(*) AS n FROM tidemark_deferred")).toEqual([{ n: 1 }]);
  // Now it is right, and the next change comes at once.
  clocks.b.setWallClock(clocks.a.now());
  await c.dataSource.getRepository(Note).update({ uuid: "n1" }, { text: "second" });
  await c.dataSource.getRepository(Note).update({ uuid: "n1" }, { text: "third" });
  await wait(5_000);
  expect((await a.dataSource.getRepository(Note).findOneByOrFail({ uuid: "n1" })).text).toBe("third");
  expect(await b.dataSource.getRepository(Note).findOneBy({ uuid: "n1" })).toMatchObject({ text: "third" });
  expect(await b.dataSource.query("SELECT count(*) AS n FROM tidemark_deferred")).toEqual([{ n: 0 }]);
});

it("keeps what refers to a record of a backfill that is from beyond the drift limit", async () => {
  const clock = new ManualClock({ nowMs: START + 8 * MINUTE });
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  const device = async (name: string, dial: string[]) => {
    const kernel = await createTestKernel({
      device: name,
      entities: [Note, Remark],
      declarations: [Note, Remark].map((entity) => ({ entity, ownership: { kind: "shared" } })),
      network,
      clock,
      dial,
    });
    kernels.push(kernel);
    await kernel.tidemark.start();
    await clock.advance(2_000);
    return kernel;
  };
  const [a, b] = [await device("a", []), await device("b", ["a"])];
  const note = await a.dataSource.getRepository(Note).save({ uuid: "n1", text: "first" });
  await a.dataSource.getRepository(Remark).save({ uuid: "r1", note });
  await clock.advance(2_000);
  for (const kernel of [b, a]) {
    await kernel.tidemark.services.get(logMaintenance).acknowledge();
    await clock.advance(1_000);
  }
  const pruning = a.tidemark.services.get(logMaintenance).prune();
  await clock.settle();
  expect((await pruning).stamps).toBeGreaterThan(0);
  await a.dataSource.getRepository(Note).update({ uuid: "n1" }, { text: "from the future" });
  await clock.advance(2_000);

  clock.setWallClock(START);
  const c = await device("c", ["a"]);
  expect(await c.dataSource.query("SELECT count(*) AS n FROM tidemark_deferred")).toEqual([{ n: 1 }]);
  expect((await c.tidemark.status()).parked.hidden).toBe(1);
  await clock.advance(10 * MINUTE);
  expect(await c.dataSource.getRepository(Remark).find({ relations: { note: true } })).toMatchObject([
    { uuid: "r1", note: { uuid: "n1", text: "from the future" } },
  ]);
});

it("merges what was kept for later soon after a clock that was behind is put right", async () => {
  const { clocks, a, b, c, wait } = await threeClocks();
  clocks.b.setWallClock(clocks.b.now() - 18 * MINUTE);
  await c.dataSource.getRepository(Note).save({ uuid: "n1", text: "first" });
  await wait(2_000);
  expect(await b.dataSource.getRepository(Note).findOneBy({ uuid: "n1" })).toBeNull();
  clocks.b.setWallClock(clocks.a.now());
  await wait(62_000);
  for (const kernel of [a, b])
    expect(await kernel.dataSource.getRepository(Note).findOneBy({ uuid: "n1" })).toMatchObject({ text: "first" });
});

const DAY = 24 * 60 * MINUTE;

it.each([
  ["hours", 3 * 60 * MINUTE],
  ["days", 40 * DAY],
  ["years", 3_700 * DAY],
])("lets a device whose clock was %s ahead come back with what it wrote meanwhile", async (_, aheadMs) => {
  const { clocks, a, b, c, wait } = await threeClocks();
  const notesOn = async ({ dataSource }: TestKernel) =>
    Object.fromEntries((await dataSource.getRepository(Note).find()).map(({ uuid, text }) => [uuid, text]));
  await a.dataSource.getRepository(Note).save({ uuid: "edited", text: "first" });
  await a.dataSource.getRepository(Note).save({ uuid: "deleted", text: "first" });
  await wait(5_000);
  const before = (await b.tidemark.status()).origin;
  clocks.b.setWallClock(clocks.b.now() + aheadMs);
  await b.dataSource.getRepository(Note).save({ uuid: "made", text: "by b" });
  await b.dataSource.getRepository(Note).update({ uuid: "edited" }, { text: "by b" });
  await b.dataSource.getRepository(Note).delete({ uuid: "deleted" });
  await wait(40_000);
  clocks.b.setWallClock(clocks.a.now());
  await wait(40_000);
  for (const kernel of [a, b, c]) expect(await notesOn(kernel)).toEqual({ edited: "by b", made: "by b" });
  expect((await b.tidemark.status()).origin).not.toBe(before);
  expect((await a.tidemark.status()).removals).toMatchObject([{ deviceId: "b", kind: "regressed", waitsFor: [] }]);
  // Which of two values is later can't be told by such a clock.
  expect(await b.tidemark.journal()).toMatchObject([{ kind: "overwritten-by-return", values: { text: "first" } }]);
  const [{ hlc }] = await b.dataSource.query("SELECT hlc FROM tidemark_state");
  expect(hlc / 4096).toBeLessThan(clocks.a.now() - Date.UTC(2020, 0, 1) + MINUTE);
  await b.dataSource.getRepository(Note).save({ uuid: "afterwards", text: "by b" });
  await wait(5_000);
  for (const kernel of [a, b, c]) expect(await notesOn(kernel)).toMatchObject({ afterwards: "by b" });
});

it("lets others join a founder that has begun with a clock years ahead, once it is right", async () => {
  const clock = new ManualClock({ nowMs: START + 3_700 * DAY });
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  const device = async (name: string, dial: string[]) => {
    const kernel = await createTestKernel({
      device: name,
      entities: [Note],
      declarations: [{ entity: Note, ownership: { kind: "shared" } }],
      network,
      clock,
      dial,
    });
    kernels.push(kernel);
    await kernel.tidemark.start();
    return kernel;
  };
  const a = await device("a", []);
  await a.dataSource.getRepository(Note).save({ uuid: "made", text: "by a" });
  await a.tidemark.digest("Note");
  clock.setWallClock(START);
  const b = await device("b", ["a"]);
  await clock.advance(40_000);
  expect(await b.dataSource.getRepository(Note).find()).toMatchObject([{ uuid: "made" }]);
  await b.dataSource.getRepository(Note).update({ uuid: "made" }, { text: "by b" });
  await clock.advance(10_000);
  expect(await a.dataSource.getRepository(Note).find()).toMatchObject([{ uuid: "made", text: "by b" }]);
});

it.each([
  ["after it was", true],
  ["while it is", false],
])("forgets the clock of a device that is reset %s years ahead", async (_, rightBefore) => {
  const { clocks, a, b, wait } = await threeClocks();
  clocks.b.setWallClock(clocks.b.now() + 3_700 * DAY);
  await b.dataSource.getRepository(Note).save({ uuid: "made", text: "by b" });
  await wait(2_000);
  await b.tidemark.pause();
  if (rightBefore) clocks.b.setWallClock(clocks.a.now());
  await b.tidemark.resetSyncState();
  clocks.b.setWallClock(clocks.a.now());
  await b.tidemark.resume();
  await wait(40_000);
  expect(await a.dataSource.getRepository(Note).find()).toMatchObject([{ uuid: "made" }]);
});
