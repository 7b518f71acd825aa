import { API_VERSION, definePlugin } from "@tidemark/plugin-api";
import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import type { Verification, VerifyOptions } from "../kernel/verification.js";
import type { Message, MessageOf } from "../replication/messages.js";
import { SeededRandom } from "../testing/seeded-random.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { onFile, query, shared, TestLibrary } from "./library.test-support.js";
import { ScriptedPeer, type ScriptedSession } from "./scripted-peer.support.js";

// Two devices that compare themselves, with faults that no synchronization can see: rows changed behind its back.

@Entity()
class Tag {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", default: "", unique: true }) name!: string;
}

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "text", default: "" }) text!: string;
  @ManyToOne(() => Note, { nullable: true, onDelete: "CASCADE" }) parent!: Note | null;
  @ManyToMany(() => Tag) @JoinTable() tags!: Tag[];
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Tag, Note], declarations: shared(Tag, Note) });
});
afterEach(() => library.dispose());

/** Moves the clock until the work is done. */
async function outcomeOf<T>(work: Promise<T>): Promise<T> {
  let done = false;
  const finished = work.finally(() => {
    done = true;
  });
  finished.catch(() => {});
  while (!done) await library.clock.advance(50);
  return await finished;
}

function verify(kernel: TestKernel, peer: string, options?: VerifyOptions): Promise<Verification> {
  return outcomeOf(kernel.tidemark.verify(peer, options));
}

/** As a program would that has dropped the triggers. */
function behindCapture(kernel: TestKernel, ...statements: readonly string[]): void {
  onFile(
    kernel.database,
    "BEGIN IMMEDIATE",
    "INSERT INTO tidemark_applying VALUES (1)",
    ...statements,
    "DELETE FROM tidemark_applying",
    "COMMIT",
  );
}

/** n0000, n0001, … and two tags, of which the first stands at each tenth note. */
async function filled(notes: number): Promise<{ a: TestKernel; b: TestKernel }> {
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t1', 'red'), ('t2', 'blue')");
  await a.dataSource.query(
    `WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < ${notes - 1})
     INSERT INTO note (uuid, text) SELECT printf('n%04d', i), 'text ' || i FROM c`,
  );
  await a.dataSource.query(
    "INSERT INTO note_tags_tag (noteId, tagId) SELECT n.id, t.id FROM note n, tag t WHERE n.id % 10 = 1 AND t.uuid = 't1'",
  );
  await library.settle(a, b);
  return { a, b };
}

const modelOf = (verification: Verification, name: string) => verification.models.find(({ model }) => model === name)!;

describe("a comparison of two devices", () => {
  it("finds them equal, and counts what it has compared", async () => {
    const { a, b } = await filled(2_500);
    for (const [kernel, peer] of [
      [a, "b"],
      [b, "a"],
    ] as const) {
      const found = await verify(kernel, peer);
      expect(found).toMatchObject({
        outcome: "equal",
        deviceId: peer,
        repair: null,
        advice: "Nothing needs to be done.",
      });
      expect(found.models.map((it) => [it.model, it.outcome, it.recordsHere, it.recordsThere])).toEqual([
        ["Note", "equal", 2_500, 2_500],
        ["Tag", "equal", 2, 2],
        ["Note.tags", "equal", 250, 250],
      ]);
    }
  });

  it("names the records that differ, and the ranges that they are in", async () => {
    const { a, b } = await filled(3_500);
    behindCapture(
      a,
      "UPDATE note SET text = 'other' WHERE uuid IN ('n0003', 'n2999')",
      "INSERT INTO note (uuid) VALUES ('n2500+')",
      "DELETE FROM note WHERE uuid = 'n3499'",
      "DELETE FROM note_tags_tag WHERE noteId = (SELECT id FROM note WHERE uuid = 'n0010')",
    );
    const found = await verify(a, "b");
    expect(found.outcome).toBe("different");
    expect(modelOf(found, "Tag").outcome).toBe("equal");
    // The peer cuts the ranges, by its own records.
    expect(modelOf(found, "Note")).toMatchObject({
      outcome: "different",
      recordsHere: 3_500,
      recordsThere: 3_500,
      rangesInAll: 3,
      ranges: [
        { after: null, upTo: "n0999" },
        { after: "n1999", upTo: "n2999" },
        { after: "n2999", upTo: null },
      ],
      differences: [
        { record: "n0003", kind: "other-values", parkedHere: null, parkedThere: null },
        { record: "n2500+", kind: "only-here" },
        { record: "n2999", kind: "other-values" },
        { record: "n3499", kind: "only-there" },
      ],
      more: false,
    });
    expect(modelOf(found, "Note.tags").differences).toEqual([
      { record: "n0010 t1", kind: "only-there", parkedHere: null, parkedThere: null },
    ]);
    // The other side sees the same the other way round.
    const mirrored = modelOf(await verify(b, "a", { models: ["Note"] }), "Note").differences;
    expect(mirrored.map(({ record, kind }) => [record, kind])).toEqual([
      ["n0003", "other-values"],
      ["n2500+", "only-there"],
      ["n2999", "other-values"],
      ["n3499", "only-here"],
    ]);
  });

  it("names no more than it is asked for, and says that there are more", async () => {
    const { a } = await filled(2_500);
    behindCapture(a, "UPDATE note SET text = 'other'");
    const found = modelOf(await verify(a, "b", { models: ["Note"], maxDifferences: 3 }), "Note");
    expect(found.differences.map(({ record }) => record)).toEqual(["n0000", "n0001", "n0002"]);
    expect(found).toMatchObject({ more: true, rangesInAll: 3 });
    const exactly = modelOf(await verify(a, "b", { models: ["Note"], maxDifferences: 2_500 }), "Note");
    expect(exactly).toMatchObject({ more: false, rangesInAll: 3 });
    expect(exactly.differences).toHaveLength(2_500);
  });

  it("compares a device that has records with one that has none", async () => {
    const { a, b } = await filled(1_500);
    behindCapture(b, "DELETE FROM note_tags_tag", "DELETE FROM note");
    const lacking = modelOf(await verify(b, "a", { models: ["Note"] }), "Note");
    expect(lacking).toMatchObject({ recordsHere: 0, recordsThere: 1_500, rangesInAll: 2, more: true });
    expect(lacking.differences[99]).toMatchObject({ record: "n0099", kind: "only-there" });
    const having = modelOf(await verify(a, "b", { models: ["Note"], maxDifferences: 2_000 }), "Note");
    expect(having).toMatchObject({ recordsHere: 1_500, recordsThere: 0, ranges: [{ after: null, upTo: null }] });
    expect(having.differences).toHaveLength(1_500);
  });

  it("says why a record is missing that is parked", async () => {
    const { a, b } = await filled(5);
    library.network.cut("a", "b");
    await a.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t3', 'green')");
    await b.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t4', 'green')");
    library.network.heal("a", "b");
    await library.clock.advance(3_000);
    // Each has its own, and the other one in quarantine.
    const found = await verify(a, "b");
    expect(modelOf(found, "Tag").differences).toEqual([
      { record: "t3", kind: "only-here", parkedHere: null, parkedThere: "quarantined" },
      { record: "t4", kind: "only-there", parkedHere: "quarantined", parkedThere: null },
    ]);
    expect(found.advice).toContain("doctor()");
  });
});

describe("a comparison of devices that are not at rest", () => {
  it("waits for what is on its way, and cries no wolf", async () => {
    const { a, b } = await filled(20);
    for (const [from, to] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      library.network.setLatency({ from, to }, 40);
    }
    await library.clock.advance(1_000);
    await a.dataSource.query("UPDATE note SET text = 'new' WHERE uuid = 'n0001'");
    await b.dataSource.query("UPDATE note SET text = 'newer' WHERE uuid = 'n0002'");
    const first = a.tidemark.verify("b");
    await a.dataSource.query("DELETE FROM note WHERE uuid = 'n0003'");
    expect((await outcomeOf(first)).outcome).toBe("equal");
    expect(query(b.database, "SELECT count(*) AS n FROM note")).toEqual([{ n: 19 }]);
  });

  it("gives up after a while when changes can't get through, and says so", async () => {
    const { a, b } = await filled(20);
    library.network.cutOneWay({ from: "a", to: "b" });
    await a.dataSource.query("UPDATE note SET text = 'stuck'");
    const startedMs = library.clock.monotonicMs();
    const found = await verify(a, "b");
    expect(found.outcome).toBe("not-comparable");
    for (const model of found.models) {
      expect(model).toMatchObject({
        outcome: "not-comparable",
        notComparable: "busy",
        reason: "the peer has not yet applied all that this device has",
        differences: [],
      });
    }
    expect(library.clock.monotonicMs() - startedMs).toBeLessThan(10_000);
    library.network.heal("a", "b");
    expect((await verify(a, "b")).outcome).toBe("equal");
    expect(b.recordedOf("catchUpFailed")).toEqual([]);
  });

  it("says so as well when it is the peer that holds something back", async () => {
    const { a, b } = await filled(20);
    const later = fromPhysicalMs(library.clock.now() + 1_000_000_000);
    await b.dataSource.query(
      `INSERT INTO tidemark_deferred (seq, due, entry) VALUES (1, ${later}, '{"origins":[],"groups":[]}')`,
    );
    const found = await verify(a, "b");
    expect(found.models[0]).toMatchObject({
      outcome: "not-comparable",
      reason: "records of the peer are to be restored, or wait for their time",
    });
  });

  it("does not count what it has received and not yet applied as missing", async () => {
    const { a, b } = await filled(5);
    let applying: (() => void) | null = null;
    const slow = definePlugin({
      manifest: { id: "slow", version: "1.0.0", apiVersion: API_VERSION },
      activate({ hooks }) {
        hooks.beforeApplyBatch.tap(
          () =>
            new Promise((resolve) => {
              applying = () => resolve(undefined);
            }),
          { timeoutMs: 60_000 },
        );
      },
    });
    const slowA = await library.restart("a", a, { plugins: [slow] });
    await library.clock.advance(3_000);
    await b.dataSource.query("UPDATE note SET text = 'new' WHERE uuid = 'n0001'");
    await library.clock.advance(100);
    const found = await verify(slowA, "b");
    expect(found.models[0]).toMatchObject({
      outcome: "not-comparable",
      reason: "this device has not yet applied all that the peer has",
    });
    applying!();
    expect((await verify(slowA, "b")).outcome).toBe("equal");
  });

  it("does not hold against the peer what has changed here since it was asked", async () => {
    const { a, b } = await filled(5);
    library.network.setLatency({ from: "b", to: "a" }, 400);
    await library.clock.advance(2_000);
    let answers = 0;
    b.tidemark.events.on("leaseReleased", ({ holder }) => {
      if (!/^(comparison|list) of Note$/.test(holder)) return;
      answers += 1;
      // The answer is on its way; every other time it is the one that the peer is not at rest after such a change.
      if (answers % 2 === 0 || answers > 3) return;
      a.dataSource.query(`UPDATE note SET text = 'version ${answers}' WHERE uuid = 'n0001'`).catch(() => {});
    });
    expect((await verify(a, "b", { models: ["Note"] })).outcome).toBe("equal");
    expect(answers).toBeGreaterThan(3);
  });

  it.each([1, 2, 3])("never finds a difference where there is none, while all keep writing (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    const below = (limit: number) => Math.floor(random.next() * limit);
    const { a, b } = await filled(60);
    const c = await library.device("c", { dial: ["a"] });
    await library.settle(a, b, c);
    for (const from of ["a", "b", "c"]) {
      for (const to of ["a", "b", "c"]) {
        if (from !== to) library.network.setLatency({ from, to }, { minMs: 0, maxMs: 60 });
      }
    }
    const outcomes: string[] = [];
    for (let round = 0; round < 12; round++) {
      const writing = outcomeOf(
        (async () => {
          for (let i = 0; i < 8; i++) {
            const kernel = [a, b, c][below(3)]!;
            await kernel.dataSource.query(
              `UPDATE note SET text = '${round} ${i}' WHERE uuid = printf('n%04d', ${below(60)})`,
            );
            await new Promise<void>((resolve) => library.clock.setTimeout(resolve, below(40)));
          }
        })(),
      );
      await library.clock.advance(below(200));
      const comparing = [a.tidemark.verify("b", { models: ["Note"] }), c.tidemark.verify("a", { models: ["Note"] })];
      await writing;
      for (const { outcome } of await outcomeOf(Promise.all(comparing))) outcomes.push(outcome);
    }
    expect(new Set(outcomes)).not.toContain("different");
    expect(outcomes.filter((outcome) => outcome === "equal").length).toBeGreaterThan(12);
  });
});

describe("a comparison that can't be made", () => {
  it("is refused with the reason", async () => {
    const a = await library.device("a");
    await expect(a.tidemark.verify("b")).rejects.toMatchObject({ code: "TIDEMARK_PEER_UNKNOWN" });
    const b = await library.device("b", { dial: ["a"] });
    await expect(b.tidemark.verify("a")).rejects.toMatchObject({ code: "TIDEMARK_PEER_UNKNOWN" });
    await library.settle(a, b);
    await expect(a.tidemark.verify("b", { models: ["Nothing"] })).rejects.toMatchObject({
      code: "TIDEMARK_UNKNOWN_MODEL",
    });
    await expect(a.tidemark.verify("a")).rejects.toMatchObject({ code: "TIDEMARK_PEER_UNKNOWN" });
    const { origin } = await b.tidemark.status();
    expect((await verify(a, origin!)).peer).toBe(origin);
    library.network.cut("a", "b");
    await library.clock.advance(100);
    await expect(a.tidemark.verify("b")).rejects.toMatchObject({ code: "TIDEMARK_PEER_NOT_CONNECTED" });
    await a.dataSource.query("UPDATE tidemark_state SET ready = 0");
    await expect(a.tidemark.verify("b")).rejects.toMatchObject({ code: "TIDEMARK_DEVICE_NOT_READY" });
    await b.tidemark.stop();
    await expect(b.tidemark.verify("a")).rejects.toMatchObject({ code: "TIDEMARK_KERNEL_STATE" });
  });

  it("ends with the session when the peer goes meanwhile", async () => {
    const { a } = await filled(5);
    const comparing = a.tidemark.verify("b");
    const outcome = expect(outcomeOf(comparing)).rejects.toMatchObject({ code: "TIDEMARK_SESSION_LOST" });
    library.network.cut("a", "b");
    await outcome;
  });

  it("leaves models out that the peer has otherwise, and says which columns they are", async () => {
    @Entity({ name: "tag" })
    class NewTag {
      @PrimaryGeneratedColumn() id!: number;
      @Column({ type: "varchar", unique: true }) uuid!: string;
      @Column({ type: "varchar", default: "", unique: true }) name!: string;
      @Column({ type: "varchar", nullable: true }) colour!: string | null;
    }
    @Entity()
    class Extra {
      @PrimaryGeneratedColumn() id!: number;
      @Column({ type: "varchar", unique: true }) uuid!: string;
    }
    library = new TestLibrary({ entities: [Tag], declarations: shared(Tag) });
    const a = await library.device("a");
    const b = await library.device("b", {
      dial: ["a"],
      entities: [NewTag, Extra],
      declarations: shared({ entity: NewTag, name: "Tag" }, Extra),
    });
    await library.clock.advance(3_000);
    const found = await verify(b, "a");
    expect(found.outcome).toBe("not-comparable");
    expect(modelOf(found, "Tag")).toMatchObject({
      notComparable: "version",
      reason: 'its columns differ: "colour" only here',
    });
    expect(modelOf(found, "Extra").reason).toBe("the peer does not have this model");
    expect(found.advice).toContain("version");
    const other = await verify(a, "b");
    expect(modelOf(other, "Tag").reason).toBe('its columns differ: "colour" only there');
  });
});

describe("a repair", () => {
  it("takes from the peer what differs, whoever has stamps of it, and removes what nobody knows", async () => {
    const { a, b } = await filled(30);
    behindCapture(
      a,
      "UPDATE note SET text = 'wrong' WHERE uuid IN ('n0003', 'n0004')",
      "INSERT INTO note (uuid) VALUES ('stray')",
      "INSERT INTO note (uuid, parentId) SELECT 'stray-child', id FROM note WHERE uuid = 'stray'",
      "DELETE FROM note_tags_tag WHERE noteId = (SELECT id FROM note WHERE uuid = 'n0010')",
      "DELETE FROM note WHERE uuid = 'n0029'",
      "UPDATE tag SET name = 'wrong' WHERE uuid = 't1'",
    );
    await b.dataSource.query("UPDATE note SET text = 'right' WHERE uuid = 'n0004'");
    await library.clock.advance(2_000);
    behindCapture(a, "UPDATE note SET text = 'wrong' WHERE uuid = 'n0004'");
    const found = await verify(a, "b", { repair: "take-theirs" });
    expect(found).toMatchObject({ outcome: "different", repair: { given: 0, taken: 5, removed: 2, left: 0 } });
    expect((await verify(a, "b")).outcome).toBe("equal");
    expect((await verify(b, "a")).outcome).toBe("equal");
    expect(query(a.database, "SELECT text FROM note WHERE uuid IN ('n0003', 'n0004')")).toEqual([
      { text: "text 3" },
      { text: "right" },
    ]);
    expect(query(a.database, "SELECT uuid FROM note WHERE uuid LIKE 'stray%'")).toEqual([]);
    expect(query(a.database, "PRAGMA foreign_key_check")).toEqual([]);
  });

  it("leaves what is newer here, and takes it over on the peer", async () => {
    const { a, b } = await filled(10);
    await a.dataSource.query("UPDATE note SET text = 'newer' WHERE uuid = 'n0001'");
    await library.settle(a, b);
    // The peer has lost both the change and its stamp.
    behindCapture(b, "UPDATE note SET text = 'older' WHERE uuid = 'n0001'");
    onFile(b.database, "DELETE FROM tidemark_stamp WHERE record = 'n0001' AND col > 0");
    const left = await verify(a, "b", { repair: "take-theirs" });
    expect(left.repair).toEqual({ given: 0, taken: 0, removed: 0, left: 1 });
    expect(left.advice).toContain("on the peer");
    expect((await verify(b, "a", { repair: "take-theirs" })).repair).toEqual({
      given: 0,
      taken: 1,
      removed: 0,
      left: 0,
    });
    expect(query(b.database, "SELECT text FROM note WHERE uuid = 'n0001'")).toEqual([{ text: "newer" }]);
    expect((await verify(a, "b")).outcome).toBe("equal");
  });

  it("changes nothing where nothing differs", async () => {
    const { a } = await filled(10);
    expect((await verify(a, "b", { repair: "take-theirs" })).repair).toEqual({
      given: 0,
      taken: 0,
      removed: 0,
      left: 0,
    });
  });

  it("gives what is here, keeping what refers to it, and takes back what is only there", async () => {
    const { a, b } = await filled(30);
    await a.dataSource.query("INSERT INTO note (uuid, parentId) SELECT 'child', id FROM note WHERE uuid = 'n0003'");
    await library.settle(a, b);
    unseenWrites(a);
    const found = await verify(a, "b", { repair: "give-mine" });
    expect(found).toMatchObject({ outcome: "different", repair: { given: 3, taken: 1, removed: 0, left: 0 } });
    await library.settle(a, b);
    expectGiven(b);
    expect((await verify(a, "b")).outcome).toBe("equal");
  });
});

/** An edit, two creations and a deletion that nobody sees. */
function unseenWrites(kernel: TestKernel): void {
  behindCapture(
    kernel,
    "UPDATE note SET text = 'unseen' WHERE uuid = 'n0003'",
    "INSERT INTO note (uuid) VALUES ('new')",
    "INSERT INTO note (uuid, parentId) SELECT 'new-child', id FROM note WHERE uuid = 'new'",
    "DELETE FROM note WHERE uuid = 'n0029'",
  );
}

function expectGiven({ database }: TestKernel): void {
  const read = `SELECT n.uuid, p.uuid AS parent, n.text FROM note n LEFT JOIN note p ON p.id = n.parentId
    WHERE n.uuid IN ('n0003', 'new', 'new-child', 'child', 'n0029') ORDER BY n.uuid`;
  expect(query(database, read)).toEqual([
    { uuid: "child", parent: "n0003", text: "" },
    { uuid: "n0003", parent: null, text: "unseen" },
    { uuid: "n0029", parent: null, text: "text 29" },
    { uuid: "new", parent: null, text: "" },
    { uuid: "new-child", parent: "new", text: "" },
  ]);
}

describe("after a gap in capture", () => {
  const dropTriggers = (kernel: TestKernel) =>
    onFile(
      kernel.database,
      ...["birth", "death", "update_0"].map((name) => `DROP TRIGGER "tidemark_capture_1_${name}"`),
    );

  it("a device finds by itself what went unseen, and every device gets it", async () => {
    const { a, b } = await filled(30);
    await a.dataSource.query("INSERT INTO note (uuid, parentId) SELECT 'child', id FROM note WHERE uuid = 'n0003'");
    await library.settle(a, b);
    const c = await library.device("c", { dial: ["a"] });
    await library.settle(a, b, c);
    await a.tidemark.stop();
    dropTriggers(a);
    unseenWrites(a);
    const again = await library.restart("a", a);
    expect(again.recordedOf("captureGap").map(({ model }) => model)).toEqual(["Note"]);
    await library.settle(again, b, c);
    for (const kernel of [again, b, c]) expectGiven(kernel);
    expect(query(again.database, "SELECT * FROM tidemark_unseen")).toEqual([]);
    expect((await verify(again, "b")).outcome).toBe("equal");
  });

  it("what a third member has deleted meanwhile stays deleted", async () => {
    const { a, b } = await filled(10);
    const c = await library.device("c", { dial: ["a"] });
    await library.settle(a, b, c);
    library.network.cut("c", "a");
    await c.dataSource.query("DELETE FROM note WHERE uuid = 'n0003'");
    await a.tidemark.stop();
    dropTriggers(a);
    behindCapture(a, "UPDATE note SET text = 'unseen' WHERE uuid IN ('n0003', 'n0004')");
    const again = await library.restart("a", a);
    await library.settle(again, b);
    expect(query(b.database, "SELECT uuid FROM note WHERE text = 'unseen'")).toEqual([
      { uuid: "n0003" },
      { uuid: "n0004" },
    ]);
    library.network.heal("c", "a");
    await library.settle(again, b, c);
    expect(query(c.database, "SELECT uuid FROM note WHERE text = 'unseen'")).toEqual([{ uuid: "n0004" }]);
    expect(query(again.database, "SELECT uuid FROM note WHERE uuid = 'n0003'")).toEqual([]);
  });

  it("what a full backfill removes and overwrites before the comparison stands in the journal", async () => {
    const { a, b } = await filled(10);
    for (const kernel of [a, b]) {
      await kernel.tidemark.stop();
      // As when all members have acknowledged everything.
      onFile(kernel.database, "UPDATE tidemark_state SET floor = hlc", "DELETE FROM tidemark_stamp");
    }
    dropTriggers(a);
    behindCapture(
      a,
      "UPDATE note SET text = 'unseen' WHERE uuid = 'n0003'",
      "INSERT INTO note (uuid, text) VALUES ('new', 'created')",
      "UPDATE tidemark_peer SET full_backfill = 1",
    );
    const peer = await library.restart("b", b, { dial: ["a"] });
    const again = await library.restart("a", a);
    await library.settle(again, peer);
    expect(again.recordedOf("backfillCompleted")).toHaveLength(1);
    const journal = await again.tidemark.journal();
    expect(journal.map(({ kind, record, values }) => [kind, record, values?.text])).toEqual([
      ["removed-by-backfill", "new", "created"],
      ["overwritten-by-backfill", "n0003", "unseen"],
    ]);
  });

  it("it waits for a peer, also across restarts", async () => {
    const { a, b } = await filled(10);
    await a.tidemark.stop();
    await b.tidemark.stop();
    dropTriggers(a);
    behindCapture(a, "UPDATE note SET text = 'unseen' WHERE uuid = 'n0003'");
    const alone = await library.restart("a", a);
    await library.clock.advance(5_000);
    const again = await library.restart("a", alone);
    expect(again.recordedOf("captureGap")).toEqual([]);
    const peer = await library.restart("b", b, { dial: ["a"] });
    await library.settle(again, peer);
    expect(query(peer.database, "SELECT text FROM note WHERE uuid = 'n0003'")).toEqual([{ text: "unseen" }]);
  });
});

/** A peer that answers comparisons as it likes. */
async function hostile(answer: (message: MessageOf<"digests"> | MessageOf<"list">) => object | null): Promise<{
  readonly a: TestKernel;
  readonly session: ScriptedSession;
}> {
  const a = await library.device("a");
  await a.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t1', 'red'), ('t2', 'blue')");
  const peer = new ScriptedPeer({ network: library.network, address: "b", dial: "a", now: () => library.clock.now() });
  const session = await peer.connect();
  const { logId, vector } = await session.introduce({ token: 1 });
  await session.join();
  session.send({ t: "pull", logId, position: 0, vector });
  void (async () => {
    for (let read = 0; session.end === null; ) {
      const message: Message | undefined = session.received[read];
      if (message === undefined) await library.clock.settle();
      else {
        read += 1;
        if (message.t === "page") session.send({ t: "applied", n: message.n });
        else if (message.t === "digests" || message.t === "list") {
          const said = answer(message);
          if (said !== null) session.send({ request: message.request, unrest: null, ...said });
        }
      }
    }
  })();
  await library.clock.advance(100);
  return { a, session };
}

const digested = (ranges: readonly unknown[]) => ({ t: "digested", columns: ["name"], ranges });
const range = (upTo: string | null) => ({ upTo, rows: 1, digest: "0" });

it("asks a peer that is hardly ever at rest for less each time", async () => {
  const asked: number[] = [];
  const { a } = await hostile((message) => {
    if (message.t === "digests") asked.push(message.ranges);
    return { ...digested([]), unrest: "unfolded" };
  });
  const found = await outcomeOf(a.tidemark.verify("b", { models: ["Tag"] }));
  expect(found.models[0]!.reason).toBe("the peer's own records keep changing");
  expect(asked).toEqual([64, 16, 4, 1, 1, 1, 1, 1]);
});

it("looks for unseen writes until all of a model was compared", async () => {
  let isAtRest = false;
  const { a, session } = await hostile((message) => {
    if (message.t === "list") return { t: "listed", records: [], parked: [], upTo: message.upTo };
    if (message.after === null) return digested([range("t1")]);
    return isAtRest ? digested([range(null)]) : { ...digested([]), unrest: "unfolded" };
  });
  await a.dataSource.query("INSERT INTO tidemark_unseen SELECT num FROM tidemark_model WHERE name = 'Tag'");
  const endRound = async (n: number) => {
    const end = { vector: {}, members: [], removals: [], vectors: {} };
    session.send({ t: "page", n, records: { origins: [], groups: [] }, position: 0, end });
    await library.clock.advance(30_000);
  };
  const given = () => query(a.database, "SELECT record FROM tidemark_stamp WHERE col = -1 AND age IS NOT NULL");
  const left = () => query(a.database, "SELECT count(*) AS n FROM tidemark_unseen");
  await endRound(1);
  expect(given()).toEqual([{ record: "t1" }]);
  expect(left()).toEqual([{ n: 1 }]);
  isAtRest = true;
  await library.clock.advance(30_000);
  await endRound(2);
  expect(given()).toEqual([{ record: "t1" }, { record: "t2" }]);
  expect(left()).toEqual([{ n: 0 }]);
});

describe("a peer that answers a comparison wrongly", () => {
  it.each<readonly [string, (message: MessageOf<"digests"> | MessageOf<"list">) => object]>([
    ["with no range", () => digested([])],
    ["with ranges that go back", () => digested([range("t2"), range("t1"), range(null)])],
    ["with ranges behind the end", () => digested([range(null), range("t1")])],
    [
      "with more ranges than were asked for",
      () => digested(Array.from({ length: 65 }, (_, i) => range(`t${100 + i}`))),
    ],
    [
      "with the answer to another question",
      ({ request }) => ({ t: "listed", request, records: [], parked: [], upTo: null }),
    ],
    [
      "with a list that does not go on",
      ({ t, after }) =>
        t === "digests"
          ? digested([range("t1"), range(null)])
          : { t: "listed", records: [], parked: [], upTo: after ?? "t0" },
    ],
    [
      "with a list that goes beyond its range",
      ({ t }) =>
        t === "digests" ? digested([range("t1"), range(null)]) : { t: "listed", records: [], parked: [], upTo: null },
    ],
  ])("loses its session: %s", async (_, answer) => {
    const { a, session } = await hostile(answer);
    const failed = outcomeOf(a.tidemark.verify("b", { models: ["Tag"] }));
    await expect(failed).rejects.toMatchObject({ name: "TidemarkError" });
    await library.clock.advance(100);
    expect(session.bye?.code).toBe("TIDEMARK_WIRE_MALFORMED");
    expect(query(a.database, "SELECT count(*) AS n FROM tag")).toEqual([{ n: 2 }]);
  });

  it("loses it when it does not answer in time", async () => {
    const { a, session } = await hostile(() => null);
    await expect(outcomeOf(a.tidemark.verify("b"))).rejects.toMatchObject({ code: "TIDEMARK_PEER_TIMED_OUT" });
    await library.clock.advance(100);
    expect(session.end).not.toBeNull();
  });
});
