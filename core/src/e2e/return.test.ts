import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TestKernel, TestKernelOptions } from "../testing/test-kernel.js";
import { expectSameTable, query, shared, TestLibrary } from "./library.test-support.js";

// Members of which nothing is heard lapse, and come back: with what they had not got out, and with what they had missed.

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
  @Column({ type: "varchar", nullable: true }) colour!: string | null;
  @ManyToOne(() => Note, { nullable: true, onDelete: "CASCADE" }) about!: Note | null;
}

@Entity()
class Remark {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
  @ManyToOne(() => Note, { nullable: false, onDelete: "CASCADE" }) about!: Note;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Note, Remark], declarations: shared(Note, Remark) });
});
afterEach(() => library.dispose());

const notes = ({ dataSource }: TestKernel) => dataSource.getRepository(Note);
const write = (kernel: TestKernel, uuid: string, text = uuid) => notes(kernel).save({ uuid, text });
const edit = (kernel: TestKernel, uuid: string, change: Partial<Note>) => notes(kernel).update({ uuid }, change);
const textsOn = async (kernel: TestKernel) =>
  Object.fromEntries((await notes(kernel).find({ order: { uuid: "ASC" } })).map(({ uuid, text }) => [uuid, text]));
const statusOf = (kernel: TestKernel) => kernel.tidemark.status();
const journalOf = async (kernel: TestKernel) =>
  (await kernel.tidemark.journal()).map(({ kind, record, values }) => ({ kind, record, values }));

type Settings = NonNullable<TestKernelOptions["settings"]>;

/** Lapses after a minute, so that a test can wait for it. */
const hasty = (more: Settings = {}): Partial<TestKernelOptions> => ({
  settings: {
    replication: { heartbeatMs: 1_000, retryDelayMs: 1_000 },
    membership: { maxOfflineMs: 60_000, ...more.membership },
  },
});

/** a has founded the library, the others have joined through the one before them; all are in step. */
async function line(names: string, options: Partial<TestKernelOptions> = hasty()): Promise<TestKernel[]> {
  const kernels: TestKernel[] = [];
  for (const [index, name] of [...names].entries()) {
    const kernel = await library.device(name, { dial: index === 0 ? [] : [names[index - 1]!], ...options });
    kernels.push(kernel);
    await library.settle(...kernels);
  }
  return kernels;
}

async function forget(...kernels: readonly TestKernel[]): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    for (const kernel of kernels) {
      await kernel.tidemark.services.get(logMaintenance).acknowledge();
      await library.clock.advance(500);
      await kernel.tidemark.services.get(logMaintenance).prune();
    }
  }
}

/** Starts a device again that was stopped, so that it finds that it has lapsed, and waits until all is well again. */
async function comeBack(name: string, kernel: TestKernel, others: readonly TestKernel[], options = hasty()) {
  const back = await library.restart(name, kernel, { dial: ["a"], ...options });
  await library.clock.advance(20_000);
  await library.settle(back, ...others);
  return back;
}

describe("a member that is silent for too long", () => {
  it("lapses, holds nobody back any more, and comes back with everything that it had not got out", async () => {
    const [a, b, c] = (await line("abc")) as [TestKernel, TestKernel, TestKernel];
    await write(a, "old");
    await write(a, "deleted-by-c");
    await write(a, "deleted-by-all");
    await library.settle(a, b, c);
    await forget(a, b, c);
    const before = (await statusOf(c)).origin;
    library.network.cut("b", "c");
    await write(c, "made-by-c", "by c");
    const made = await notes(c).findOneByOrFail({ uuid: "made-by-c" });
    await notes(c).save({ uuid: "child", text: "child", about: made });
    await edit(c, "old", { text: "changed by c" });
    await notes(c).delete({ uuid: "deleted-by-c" });
    await edit(c, "deleted-by-all", { text: "too late" });
    await c.tidemark.digest("Note");
    const id = (await notes(c).findOneByOrFail({ uuid: "made-by-c" })).id;
    await c.tidemark.stop();
    await write(a, "missed");
    await notes(a).delete({ uuid: "deleted-by-all" });
    await library.clock.advance(75_000);
    for (const kernel of [a, b]) {
      expect((await statusOf(kernel)).removals).toMatchObject([{ deviceId: "c", kind: "lapsed", waitsFor: [] }]);
      expect((await statusOf(kernel)).peers.map(({ deviceId }) => deviceId)).not.toContain("c");
    }
    await forget(a, b);
    expect((await statusOf(a)).logEntries).toBe(0);

    library.network.heal("b", "c");
    const back = await library.restart("c", c, { dial: ["b"], ...hasty() });
    await library.clock.advance(20_000);
    await library.settle(a, b, back);
    expect((await statusOf(back)).origin).not.toBe(before);
    expect((await statusOf(back)).membership).toBe("member");
    expect(back.recordedOf("memberReturned")).toMatchObject([{ deviceId: "c", former: before }]);
    expect(back.recordedOf("unsentReissued")).toMatchObject([{ issued: 4, reported: 2 }]);
    for (const kernel of [a, b, back]) {
      expect(await textsOn(kernel)).toEqual({
        child: "child",
        "made-by-c": "by c",
        missed: "missed",
        old: "changed by c",
      });
      const child = await notes(kernel).findOneOrFail({ where: { uuid: "child" }, relations: { about: true } });
      expect(child.about?.uuid).toBe("made-by-c");
    }
    // A row that was made here and is still wanted stays where it is.
    expect((await notes(back).findOneByOrFail({ uuid: "made-by-c" })).id).toBe(id);
    // All others have forgotten when they changed it, so it is said what was replaced.
    expect(await journalOf(back)).toEqual([
      { kind: "not-reissued", record: "deleted-by-all", values: { text: "too late" } },
      { kind: "overwritten-by-return", record: "old", values: { text: "old" } },
    ]);
    await forget(a, b, back);
    await library.settle(a, b, back);
    for (const kernel of [a, b, back]) expect((await statusOf(kernel)).logEntries).toBe(0);
    expectSameTable([a, b, back], "note", { local: ["id", "aboutId"] });
  });

  it("brings all of a record whose required target has been deleted, and says that it stays hidden", async () => {
    const [a, b] = (await line("ab")) as [TestKernel, TestKernel];
    await write(a, "target");
    await library.settle(a, b);
    await b.tidemark.pause();
    const about = await notes(b).findOneByOrFail({ uuid: "target" });
    await b.dataSource.getRepository(Remark).save({ uuid: "remark", text: "by b", about });
    await b.tidemark.digest("Remark");
    await b.tidemark.stop();
    await notes(a).delete({ uuid: "target" });
    await library.clock.advance(75_000);
    // Nobody remembers the target any more.
    await forget(a);
    expect((await statusOf(a)).logEntries).toBe(0);
    const back = await comeBack("b", b, [a]);
    expect(await journalOf(back)).toEqual([
      { kind: "not-reissued", record: "remark", values: { text: "by b", about: "target" } },
    ]);
    for (const kernel of [a, back]) {
      expect((await statusOf(kernel)).parked).toMatchObject({ hidden: 1, quarantined: 0 });
      const [kept] = query(kernel.database, "SELECT kind, reason FROM tidemark_parked");
      expect(kept).toEqual({ kind: "hidden", reason: "required references do not hold: about → Note target" });
    }
  });

  it("sees the life of a record that was issued anew as all others do, though it has a row of the life before", async () => {
    const [a, b, c, d] = (await line("abcd")) as [TestKernel, TestKernel, TestKernel, TestKernel];
    await write(a, "target");
    await library.settle(a, b, c, d);
    await forget(a, b, c, d);
    // b starts anew with what it has, c brings a remark about the record before, and d has nothing but its row.
    library.network.cut("a", "b");
    library.network.cut("b", "c");
    await b.tidemark.resetSyncState();
    const about = await notes(c).findOneByOrFail({ uuid: "target" });
    await c.tidemark.pause();
    await c.dataSource.getRepository(Remark).save({ uuid: "remark", text: "by c", about });
    await c.tidemark.digest("Remark");
    await c.tidemark.stop();
    await d.tidemark.stop();
    await library.clock.advance(75_000);
    await notes(a).delete({ uuid: "target" });
    await a.tidemark.digest("Note");
    await forget(a);
    expect((await statusOf(a)).logEntries).toBe(0);
    const backC = await comeBack("c", c, [a]);
    library.network.heal("a", "b");
    await library.clock.advance(20_000);
    await library.settle(a, b, backC);
    const backD = await comeBack("d", d, [a, b, backC]);
    for (const kernel of [a, b, backC, backD]) {
      expect(Object.keys(await textsOn(kernel))).toEqual(["target"]);
      expect((await statusOf(kernel)).parked).toMatchObject({ hidden: 1, quarantined: 0 });
    }
  });

  it("reports an edit that others have overtaken, and takes theirs", async () => {
    const [a, b] = (await line("ab")) as [TestKernel, TestKernel];
    await write(a, "note", "first");
    await library.settle(a, b);
    await b.tidemark.pause();
    await edit(b, "note", { text: "from b, early", colour: "blue" });
    await b.tidemark.digest("Note");
    await library.clock.advance(5_000);
    await b.tidemark.stop();
    // So that a is not alone, and stamps what it writes.
    const c = await library.device("c", { dial: ["a"], ...hasty() });
    await library.settle(a, c);
    await library.clock.advance(75_000);
    await edit(a, "note", { text: "from a, later" });
    await library.settle(a, c);
    const back = await comeBack("b", b, [a, c]);
    for (const kernel of [a, c, back]) {
      expect(await notes(kernel).findOneByOrFail({ uuid: "note" })).toMatchObject({
        text: "from a, later",
        colour: "blue",
      });
    }
    expect(await journalOf(back)).toEqual([
      { kind: "not-reissued", record: "note", values: { text: "from b, early" } },
    ]);
  });

  it("writes all of it to the journal instead, where that was configured", async () => {
    const quiet = hasty({ membership: { onReturn: "journal" } });
    const [a, b] = (await line("ab", quiet)) as [TestKernel, TestKernel];
    await write(a, "note", "first");
    await library.settle(a, b);
    await b.tidemark.pause();
    await edit(b, "note", { text: "from b" });
    await write(b, "made-by-b");
    await b.tidemark.digest("Note");
    await b.tidemark.stop();
    await library.clock.advance(75_000);
    const back = await comeBack("b", b, [a], quiet);
    for (const kernel of [a, back]) expect(await textsOn(kernel)).toEqual({ note: "first" });
    expect(await journalOf(back)).toMatchObject([
      { kind: "not-reissued", record: "made-by-b", values: { text: "made-by-b" } },
      { kind: "not-reissued", record: "note", values: { text: "from b" } },
    ]);
  });

  it("does not come back by itself once a person has removed it", async () => {
    const [a, b] = (await line("ab")) as [TestKernel, TestKernel];
    await b.tidemark.stop();
    await library.clock.advance(75_000);
    expect((await statusOf(a)).removals).toMatchObject([{ deviceId: "b", kind: "lapsed" }]);
    await a.tidemark.removeMember("b");
    const back = await library.restart("b", b, { dial: ["a"], ...hasty() });
    await library.clock.advance(30_000);
    expect(await statusOf(back)).toMatchObject({ membership: "removed", backfill: null });
    expect(back.recordedOf("memberReturned")).toEqual([]);
  });

  it("is not taken for silent by a device that was away itself, nor while nothing is written anywhere", async () => {
    const [a, b] = (await line("ab")) as [TestKernel, TestKernel];
    await library.clock.advance(300_000);
    for (const kernel of [a, b]) expect((await statusOf(kernel)).removals).toEqual([]);
    await a.tidemark.stop();
    await b.tidemark.stop();
    library.clock.setWallClock(library.clock.now() + 3_600_000);
    const again = await library.restart("a", a, hasty());
    await library.clock.advance(30_000);
    expect((await statusOf(again)).removals).toEqual([]);
    const other = await library.restart("b", b, { dial: ["a"], ...hasty() });
    await library.clock.advance(75_000);
    for (const kernel of [again, other]) expect((await statusOf(kernel)).removals).toEqual([]);
  });
});

describe("two halves that have not heard of each other for too long", () => {
  it("find together again when they meet, and lose nothing", async () => {
    const [a, b, c, d] = (await line("abcd")) as [TestKernel, TestKernel, TestKernel, TestKernel];
    await write(a, "common");
    await library.settle(a, b, c, d);
    library.network.cut("b", "c");
    await write(a, "from-a");
    await write(d, "from-d");
    await edit(c, "common", { text: "changed by c" });
    await library.clock.advance(90_000);
    for (const kernel of [a, b]) {
      expect((await statusOf(kernel)).removals.map(({ deviceId }) => deviceId).sort()).toEqual(["c", "d"]);
    }
    for (const kernel of [c, d]) {
      expect((await statusOf(kernel)).removals.map(({ deviceId }) => deviceId).sort()).toEqual(["a", "b"]);
    }
    await forget(a, b);
    await forget(c, d);
    await write(b, "from-b");
    await write(c, "from-c");
    await library.settle(a, b);
    await library.settle(c, d);
    library.network.heal("b", "c");
    await library.clock.advance(60_000);
    await library.settle(a, b, c, d);
    for (const kernel of [a, b, c, d]) {
      expect(Object.keys(await textsOn(kernel))).toEqual(["common", "from-a", "from-b", "from-c", "from-d"]);
      expect(await statusOf(kernel)).toMatchObject({ membership: "member" });
    }
    const journals = (await Promise.all([a, b, c, d].map(journalOf))).flat();
    const [{ common }] = [await textsOn(a)] as [{ common: string }];
    // Which half went on is chance; the change of the other is either in the library or in a journal.
    if (common !== "changed by c") expect(journals).toContainEqual(expect.objectContaining({ record: "common" }));
  });
});

it("of devices that have all lapsed for each other one goes on, also if it can't take the other back at once", async () => {
  const [a, b] = (await line("ab")) as [TestKernel, TestKernel];
  await write(a, "common");
  await library.settle(a, b);
  library.network.cut("a", "b");
  await library.clock.advance(90_000);
  await forget(a);
  await forget(b);
  // They hear both hellos before they can join.
  for (const from of "abcd") {
    for (const to of "abcd") library.network.setLatency({ from, to }, { minMs: 1, maxMs: 1 });
  }
  const newcomers = { dial: ["a", "b"], ...hasty() };
  const [c, d] = [await library.device("c", newcomers), await library.device("d", newcomers)];
  await library.clock.advance(500);
  await edit(a, "common", { text: "changed by a" });
  await edit(b, "common", { text: "changed by b" });
  // The newcomers join whichever goes on before the other asks it.
  expect(await Promise.all([c, d].map(async (kernel) => (await statusOf(kernel)).membership))).toEqual([
    "joining",
    "joining",
  ]);
  library.network.heal("a", "b");
  await library.clock.advance(30_000);
  await library.settle(a, b, c, d);
  const lapsed = (await statusOf(c)).removals.map(({ kind }) => kind);
  expect(lapsed).toEqual(["lapsed", "lapsed"]);
  const [first, ...others] = await Promise.all([a, b, c, d].map(textsOn));
  for (const other of others) expect(other).toEqual(first);
});

it("devices that have all lapsed for each other find together, also if one was about to return through another", async () => {
  const [a, b, c] = (await line("abc")) as [TestKernel, TestKernel, TestKernel];
  await write(a, "common");
  await library.settle(a, b, c);
  await b.tidemark.stop();
  await library.clock.advance(90_000);
  // a and c have lapsed for b, b for them; what a was told it may come back as is taken up by nobody.
  library.network.cut("a", "b");
  library.network.cut("b", "c");
  for (const kernel of [a, c]) await write(kernel, `alone-${kernel === a ? "a" : "c"}`);
  await library.clock.advance(90_000);
  const again = await library.restart("b", b, { dial: ["a", "c"], ...hasty() });
  library.network.heal("a", "b");
  library.network.loseAfter({ from: "a", to: "b" }, { frames: 3 });
  // It has vouched for b once at first, and now again.
  while (a.recordedOf("memberJoined").filter(({ deviceId }) => deviceId === "b").length < 2)
    await library.clock.advance(50);
  library.network.cut("a", "b");
  library.network.heal("b", "c");
  await library.clock.advance(5_000);
  library.network.heal("a", "b");
  await library.clock.advance(60_000);
  await library.settle(a, again, c);
  for (const kernel of [a, again, c]) {
    expect(Object.keys(await textsOn(kernel))).toEqual(["alone-a", "alone-c", "common"]);
    expect(await statusOf(kernel)).toMatchObject({ membership: "member" });
  }
});

it("a device that never heard that it may come back, comes back through another member", async () => {
  const [a, b, c] = (await line("abc")) as [TestKernel, TestKernel, TestKernel];
  await write(c, "from-c");
  await library.settle(a, b, c);
  await c.tidemark.stop();
  await library.clock.advance(90_000);
  await write(a, "meanwhile");
  await library.settle(a, b);
  library.network.cut("b", "c");
  library.network.setLatency({ from: "a", to: "c" }, { minMs: 20, maxMs: 20 });
  const again = await library.restart("c", c, { dial: ["a", "b"], ...hasty() });
  while (a.recordedOf("memberJoined").filter(({ deviceId }) => deviceId === "c").length < 2)
    await library.clock.advance(1);
  library.network.cut("a", "c");
  // The others have heard of it; the answer is lost, and who gave it has gone.
  await library.settle(a, b);
  await a.tidemark.stop();
  expect(await statusOf(again)).toMatchObject({ membership: "returning" });
  library.network.heal("b", "c");
  await library.clock.advance(20_000);
  await library.settle(b, again);
  expect(await statusOf(again)).toMatchObject({ membership: "member" });
  expect(Object.keys(await textsOn(again))).toEqual(["from-c", "meanwhile"]);
  expect((await statusOf(b)).removals).toMatchObject([{ deviceId: "c", kind: "lapsed" }]);
  expect((await statusOf(b)).peers.map(({ deviceId }) => deviceId).sort()).toEqual(["a", "c"]);
});

it("a joiner whose sponsor was removed before anybody had heard of it comes back through a member", async () => {
  const [a, b] = (await line("ab")) as [TestKernel, TestKernel];
  await write(a, "note");
  await library.settle(a, b);
  library.network.cut("a", "b");
  const c = await library.device("c", { dial: ["b", "a"], ...hasty() });
  library.network.cut("a", "c");
  await library.settle(b, c);
  await c.tidemark.pause();
  await write(c, "from-c");
  await c.tidemark.digest("Note");
  await a.tidemark.removeMember("b");
  await b.tidemark.stop();
  library.network.heal("a", "c");
  await c.tidemark.resume();
  await library.clock.advance(30_000);
  await library.settle(a, c);
  expect((await statusOf(a)).removals.map(({ kind }) => kind).sort()).toEqual(["orphaned", "removed"]);
  for (const kernel of [a, c]) expect(await textsOn(kernel)).toEqual({ "from-c": "from-c", note: "note" });
  expect((await statusOf(a)).peers.map(({ deviceId }) => deviceId)).toEqual(["c"]);
  expect(query(a.database, "SELECT 1 FROM tidemark_unsent")).toEqual([]);
});

it("what a joiner had that nobody else ever heard of comes with whom it had vouched for", async () => {
  const [a, b] = (await line("ab")) as [TestKernel, TestKernel];
  await write(a, "note");
  await library.settle(a, b);
  library.network.cut("a", "b");
  const c = await library.device("c", { dial: ["b"], ...hasty() });
  await library.settle(b, c);
  library.network.cut("b", "c");
  await write(c, "from-c");
  const d = await library.device("d", { dial: ["c", "a"], ...hasty() });
  library.network.cut("a", "d");
  await library.settle(c, d);
  await write(d, "from-d");
  await library.settle(c, d);
  await a.tidemark.removeMember("b");
  await d.tidemark.removeMember("c");
  await b.tidemark.stop();
  await c.tidemark.stop();
  library.network.heal("a", "d");
  await library.clock.advance(20_000);
  await library.settle(a, d);
  for (const kernel of [a, d]) {
    expect(await textsOn(kernel)).toEqual({ "from-c": "from-c", "from-d": "from-d", note: "note" });
  }
});
