import type { ApplyBatch, BatchCounts, OperationOutcome, ReferenceResolution } from "@tidemark/plugin-api";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import { raiseVector } from "../storage/vectors.js";
import { counts } from "./apply.test-support.js";
import { applyPage, type ReceivedPage } from "./apply-batch.js";
import { B, C, deleted, files, folder, folders, LibraryAlone, pageOf, renamed } from "./library.test-support.js";
import { WireBlock, type WireColumn } from "./wire-block.js";
import type { WireRecord } from "./wire-records.js";

let alone: LibraryAlone;
beforeEach(() => {
  alone = new LibraryAlone();
});
afterEach(async () => {
  await alone.clock.settle();
  expect(alone.device.db.pragma("foreign_key_check")).toEqual([]);
  alone.device.db.close();
});

function receive(page: ReceivedPage["page"], received: Partial<ReceivedPage> = {}) {
  return applyPage(alone.library, {
    peer: "origin-2",
    phase: "live",
    page,
    finish() {},
    vectorMoves: false,
    ...received,
  });
}

/** This device counts all as had that came of these members up to then. */
function has(vector: Readonly<Record<number, number>>): void {
  raiseVector(alone.device.db, 1, new Map(Object.entries(vector).map(([member, hlc]) => [Number(member), hlc])));
}

const several = (count: number, make: (n: number) => WireRecord) => Array.from({ length: count }, (_, n) => make(n));
const name = (identity: string) =>
  alone.device.db.prepare("SELECT name FROM folder WHERE uuid = ?").pluck().get(identity);

describe("a page of changes", () => {
  it("comes into the tables, and is told to whoever looks", async () => {
    const page = pageOf(
      folders(folder("d", 10), folder("e", 11, "d")),
      files(["f", [12, C], [], [], 0, ["f", 1, "d"]]),
    );
    const applied = await receive(page, { vectorMoves: true });
    expect(alone.all("folder")).toEqual(["d", "e"]);
    expect(alone.all("file")).toEqual(["f"]);
    expect(applied).toEqual({
      id: 1,
      peer: "origin-2",
      phase: "live",
      counts: { ...counts, applied: 3 },
      models: { folder: { ...counts, applied: 2 }, file: { ...counts, applied: 1 } },
      durationMs: 0,
      referenceLookups: expect.any(Number),
      vectorMoved: true,
    });
    expect(alone.observed).toEqual([applied]);
    expect(alone.eventsOf("batchApplied")).toEqual([applied]);
    expect((await receive(pageOf())).id).toBe(2);
  });

  it("is merged in slices of one transaction each, of which the last one finishes", async () => {
    alone.sliceSize = 2;
    const finished: unknown[] = [];
    const inTable = () => alone.device.db.prepare("SELECT count(*) FROM folder").pluck().get();
    await receive(pageOf(folders(...several(5, (n) => folder(`d${n}`, 10 + n)))), {
      finish: (tx, inserted) => finished.push([inTable(), tx.self, inserted]),
    });
    expect(alone.slices.map(({ records }) => records)).toEqual([2, 2, 1]);
    expect(finished).toEqual([[5, 1, 0]]);
    expect(alone.writes).toEqual(Array(3).fill("apply from origin-2"));
    expect(alone.waits).toBe(3);
  });

  it("without records finishes, too", async () => {
    let finished = 0;
    await receive(pageOf(), { finish: () => finished++ });
    expect([finished, alone.slices.map(({ records }) => records)]).toEqual([1, [0]]);
  });

  it("tells how long each slice took, and all of them together", async () => {
    alone.sliceSize = 1;
    let elapsed = 0;
    alone.clock.monotonicMs = () => {
      elapsed += 10;
      return elapsed;
    };
    const { durationMs } = await receive(pageOf(folders(folder("d", 10), folder("e", 11))));
    expect(alone.slices).toEqual([
      { records: 1, durationMs: expect.any(Number) },
      { records: 1, durationMs: expect.any(Number) },
    ]);
    for (const slice of alone.slices) {
      expect(slice.durationMs).toBeGreaterThan(0);
      expect(slice.durationMs).toBeLessThan(durationMs);
    }
    expect(durationMs).toBeLessThan(elapsed);
  });

  it("does not merge what was merged before, and counts it as superseded", async () => {
    await receive(pageOf(folders(folder("d", 10), folder("e", 20))));
    has({ 2: 20 });
    // The deletion of e is forgotten, and so is what d was called later.
    alone.device.db.exec("DELETE FROM folder WHERE uuid = 'e'; DELETE FROM tidemark_stamp");
    const { models } = await receive(
      pageOf(folders(folder("e", 20), renamed("d", 20, "old"), renamed("d", 21, "new"), renamed("d", 15, "other", C))),
    );
    expect(alone.all("folder")).toEqual(["d"]);
    expect(name("d")).toBe("new");
    expect(models).toEqual({ folder: { ...counts, applied: 1, superseded: 1 } });
    const again = await receive(pageOf(folders(folder("e", 20))));
    expect(again.models).toEqual({ folder: { ...counts, superseded: 1 } });
  });

  it("knows its own changes without a vector that says so", async () => {
    alone.device.db.exec("UPDATE tidemark_state SET hlc = 30");
    const own: WireRecord = ["d", [20, 2], [], [], 0, ["folder d", null]];
    const page = { ...pageOf(folders(own)), origins: [...pageOf().origins, ["origin-1", "a", "a"]] } as const;
    expect((await receive(page)).counts).toEqual({ ...counts, superseded: 1 });
    expect(alone.all("folder")).toEqual([]);
  });

  it("of a member whose removal has become known is refused", async () => {
    const { db, members } = alone.device;
    db.exec(
      "UPDATE tidemark_member SET removed_kind = 'removed', removed_hlc = 9, removed_by = 'origin-1' WHERE num = 2",
    );
    members.load(db);
    const page = pageOf(folders(folder("d", 10)));
    await expect(receive(page)).rejects.toMatchObject({
      code: "TIDEMARK_MEMBER_REMOVED",
      details: { device: "b", self: false },
    });
    expect(alone.all("folder")).toEqual([]);
    // What came before the removal was known is kept, and merged in its time.
    await receive(page, { wasDeferred: true });
    expect(alone.all("folder")).toEqual(["d"]);
  });

  it("tells of no conflict where the sender had heard of this device's change, and of one where it had not", async () => {
    await receive(pageOf(folders(folder("d", 10), folder("e", 10))));
    const own = { hlc: 20, origin: 1 };
    const { device } = alone;
    device.apply(["d", "e"].map((record) => device.edited("folder", record, own, { name: "own" })));
    const heard = await receive(pageOf(folders(renamed("d", 30, "theirs"))), { heard: 20 });
    expect(heard.counts.conflicts).toBe(0);
    const unheard = await receive(pageOf(folders(renamed("e", 30, "theirs"))), { heard: 19 });
    expect(unheard.counts.conflicts).toBe(1);
    expect((await receive(pageOf(folders(renamed("e", 31, "again"))))).counts.conflicts).toBe(0);
  });

  it("lets whoever inspects it see each slice before it is merged", async () => {
    alone.sliceSize = 1;
    const seen: unknown[] = [];
    await receive(pageOf(folders(folder("d", 10), folder("e", 11))), {
      inspect: (tx, records) => seen.push([records.map(({ record }) => record), tx.self, alone.all("folder")]),
    });
    expect(seen).toEqual([
      [["d"], 1, []],
      [["e"], 1, ["d"]],
    ]);
  });

  it("heals what has waited, and tells so", async () => {
    await receive(pageOf(folders(folder("e", 11, "d")), files(["f", [12, C], [], [], 0, ["f", 1, "d"]])));
    const { counts: told } = await receive(pageOf(folders(folder("d", 10))));
    expect(told.applied).toBe(1);
    expect(alone.eventsOf("recordHealed")).toEqual([{ model: "file", record: "f" }]);
  });

  it("has refused rows tried again that may fit now", async () => {
    const file = (identity: string, hlc: number): WireRecord => [identity, [hlc, C], [], [], 0, ["name", 1, "d"]];
    await receive(pageOf(folders(folder("d", 10)), files(file("f", 11))));
    await receive(pageOf(files(file("g", 12))));
    expect(alone.all("file")).toEqual(["f"]);
    await receive(pageOf(files(deleted("f", 13, C))));
    await alone.clock.settle();
    expect(alone.all("file")).toEqual(["g"]);
  });

  it("tells the session when this device has stamped something itself", async () => {
    let stamped = 0;
    await receive(pageOf(folders(folder("d", 10))), { stamped: () => stamped++ });
    expect(stamped).toBe(0);
    const { db, members } = alone.device;
    db.exec(
      "UPDATE tidemark_member SET removed_kind = 'removed', removed_hlc = 9, removed_by = 'origin-1', settled_hlc = 15 WHERE num = 3",
    );
    members.load(db);
    await receive(pageOf(folders(folder("late", 20, null, C))), { stamped: () => stamped++ });
    await receive(pageOf(folders(folder("again", 20, null, C))));
    expect(stamped).toBe(1);
  });

  it("says nothing of stamps that are forgotten here", async () => {
    alone.device.db.exec("UPDATE tidemark_state SET floor = 15, hlc = 15");
    await receive(pageOf(folders(["d", [15, B], [], [0, 20, B], 0, ["folder d", null]])), { phase: "backfill" });
    expect(alone.device.aside().stamps.map(([, , column, hlc]) => [column, hlc])).toEqual([[1, 20]]);
    // Nor of what a life stands on.
    await receive(pageOf(folders(["e", [10, B, 30, B], [8, B], [], 0, ["folder e", null]])));
    expect(alone.device.aside().stamps.at(-1)).toEqual([1, "e", -1, 30, 2, 0, 0, null]);
  });
});

describe("records of models that are not known here", () => {
  const boats = (...r: readonly WireRecord[]) => ({ m: "boat", c: ["sail"], r });
  const kept = () =>
    alone.device.db.prepare("SELECT record, kind, vals FROM tidemark_parked ORDER BY record").raw().all() as string[][];

  it("are kept, once, whatever the slices of the others", async () => {
    alone.sliceSize = 1;
    await receive(pageOf(folders(folder("d", 10), folder("e", 10)), boats(["x", [10, B], [], [], 0, ["white"]])));
    expect(kept().map(([record, kind]) => [record, kind])).toEqual([["x", "foreign"]]);
  });

  it("are not merged again where they are known, unless they come with a backfill", async () => {
    has({ 2: 20 });
    const page = pageOf(boats(["x", [10, B], [], [], 0, ["white"]]));
    await receive(page);
    expect(kept()).toEqual([]);
    await receive(page, { phase: "backfill" });
    expect(kept()).toHaveLength(1);
  });

  it("begin a life of which it is forgotten here what it stands on", async () => {
    alone.device.db.exec("UPDATE tidemark_state SET floor = 15, hlc = 15");
    has({ 2: 15 });
    await receive(pageOf(boats(["x", [10, B, 30, B], [8, B], [], 0, ["white"]])));
    expect(alone.device.aside().stamps.map(([, , , ...stamp]) => stamp)).toEqual([[30, 2, 0, 0, null]]);
  });
});

describe("what is from beyond the drift limit", () => {
  it("is kept until its time has come, and counted", async () => {
    const due = alone.future(1_000);
    const applied = await receive(pageOf(folders(folder("d", 10), folder("later", due))));
    expect(applied.counts).toEqual({ ...counts, applied: 1, deferred: 1 });
    expect(alone.all("folder")).toEqual(["d"]);
    expect(alone.deferred()).toEqual([[due, "later"]]);
    expect(alone.device.highWater).toBe(10);
    const kept = alone.device.db.prepare("SELECT entry FROM tidemark_deferred").pluck().get() as string;
    await receive(JSON.parse(kept), { wasDeferred: true });
    expect(alone.all("folder")).toEqual(["d", "later"]);
  });

  it("goes on with a life that is forgotten meanwhile, whatever ended the one before", async () => {
    const { db } = alone.device;
    const due = alone.future(1_000);
    const created: WireRecord = ["d", [due, B], [8, B], [], 0, ["later", null]];
    await receive(pageOf(folders(folder("d", 12))));
    await receive(pageOf(folders(created)));
    const kept = db.prepare("SELECT entry FROM tidemark_deferred").pluck().get() as string;
    db.exec("DELETE FROM tidemark_stamp; UPDATE tidemark_state SET floor = 15");
    await receive(pageOf(files(["f", [20, C], [], [], 0, ["f", 1, "d"]])));
    await receive(JSON.parse(kept), { wasDeferred: true });
    // Its folder lives since 12, not only since then.
    expect(alone.all("file")).toEqual(["f"]);
    expect(name("d")).toBe("later");
  });

  it("begins right behind the limit", async () => {
    const limit = fromPhysicalMs(alone.clock.now() + 300_000);
    await receive(pageOf(folders(folder("d", limit), folder("e", limit + 1))));
    expect(alone.deferred()).toEqual([[limit + 1, "e"]]);
  });

  it("is kept in the transaction of the last slice", async () => {
    alone.sliceSize = 1;
    const kept: unknown[] = [];
    await receive(pageOf(folders(folder("d", 10), folder("e", 10), folder("later", alone.future(1)))), {
      inspect: () => kept.push(alone.deferred().length),
      finish: () => kept.push(alone.deferred().length),
    });
    expect(kept).toEqual([0, 0, 1]);
  });

  it("is not kept again where the vector says that it is here, unless it comes with a backfill", async () => {
    const due = alone.future(1);
    has({ 2: due });
    const page = pageOf(folders(folder("later", due)));
    await receive(page);
    expect(alone.deferred()).toEqual([]);
    await receive(page, { phase: "backfill" });
    expect(alone.deferred()).toEqual([[due, "later"]]);
  });

  it("holds back what comes of the same record afterwards, and of no other one", async () => {
    const due = alone.future(1_000);
    await receive(pageOf(folders(folder("d", 10), folder("later", due))));
    const { counts: told } = await receive(
      pageOf(folders(renamed("later", 20, "edited", C), renamed("d", 20, "edited", C))),
    );
    expect(told).toEqual({ ...counts, applied: 1, deferred: 1 });
    expect(alone.deferred()).toEqual([
      [due, "later"],
      [due, "later"],
    ]);
    expect(name("d")).toBe("edited");
    // An own due time that is later than what it waits behind stays.
    const later = alone.future(5_000);
    await receive(pageOf(folders(renamed("later", later, "again", C))));
    expect(alone.deferred().at(-1)).toEqual([later, "later"]);
  });

  it("says in a backfill what the record was before, which takes the place of what is here", async () => {
    await receive(pageOf(folders(folder("d", 10))));
    alone.device.db.exec("DELETE FROM tidemark_stamp");
    const due = alone.future(1_000);
    const page = pageOf(
      folders(
        ["d", [0, 0], [], [1, due, B], 0, ["the library's", null]],
        ["elsewhere", [0, 0], [], [1, due, B], 0, ["not here yet", null]],
      ),
    );
    await receive(page);
    expect(name("d")).toBe("folder d");
    const seen: unknown[] = [];
    await receive(page, {
      phase: "backfill",
      inspect: (_, records) => seen.push(records.map(({ record, late }) => [record, late])),
    });
    expect(name("d")).toBe("the library's");
    expect(alone.all("folder")).toEqual(["d"]);
    expect(alone.deferred()).toEqual([
      [due, "d"],
      [due, "elsewhere"],
    ]);
    expect(seen.at(-1)).toEqual([["d", ["parent_id"]]]);
    await receive(page, { phase: "backfill" });
    expect(alone.deferred()).toHaveLength(2);
  });

  it("is put back all the same where it was merged before, and the clock has gone back since", async () => {
    const late = alone.future(10_000);
    alone.device.db.prepare("UPDATE tidemark_state SET hlc = ?").run(late);
    const page = pageOf(folders(folder("d", late)));
    await receive(page, { phase: "backfill", restores: { floor: 0 } });
    expect([alone.all("folder"), alone.deferred()]).toEqual([["d"], []]);
    await receive(page, { phase: "backfill" });
    expect(alone.deferred()).toEqual([[late, "d"]]);
  });
});

describe("what is to restore rows that were damaged", () => {
  it("stands where stamps are equal, or the sender has forgotten them", async () => {
    await receive(pageOf(folders(folder("d", 10), folder("e", 10), folder("f", 30))));
    has({ 2: 30 });
    alone.device.db.exec("UPDATE folder SET name = 'damaged'");
    await receive(pageOf(folders(folder("d", 10), ["e", ["folder e", null]], ["f", ["folder f", null]])), {
      phase: "backfill",
      restores: { floor: 20 },
    });
    expect(["d", "e", "f"].map(name)).toEqual(["folder d", "folder e", "damaged"]);
  });
});

describe("a page of a backfill", () => {
  const block = (columns: readonly WireColumn[], identities = ["a", "b", "c"]) => ({
    ...folders(),
    k: new WireBlock(identities, columns),
  });
  const three = block([["A", "B", "C"], { values: ["a"], at: [0, 1, 1] }]);

  it("is merged block by block, in slices, after the single records", async () => {
    alone.sliceSize = 2;
    const finished: number[] = [];
    const { counts: told } = await receive(pageOf({ ...three, r: [folder("0", 10)] }), {
      phase: "backfill",
      finish: (_, inserted) => finished.push(inserted),
    });
    expect(alone.slices.map(({ records }) => records)).toEqual([1, 2, 1]);
    expect(alone.device.rows().folders).toEqual([
      ["0", "folder 0", null],
      ["a", "A", null],
      ["b", "B", "a"],
      ["c", "C", "a"],
    ]);
    expect(finished).toEqual([3]);
    expect(told).toEqual({ ...counts, applied: 4 });
  });

  it("goes the short way", async () => {
    const finished: number[] = [];
    await receive(pageOf(three), { phase: "backfill", finish: (_, inserted) => finished.push(inserted) });
    expect(finished).toEqual([3]);
  });

  it.each<[string, Partial<ReceivedPage>]>([
    ["somebody looks at its records", { inspect() {} }],
    ["its time has come only now", { wasDeferred: true }],
    ["it restores rows", { restores: { floor: 0 } }],
  ])("goes the long way where %s", async (_, received) => {
    const finished: number[] = [];
    await receive(pageOf(three), { phase: "backfill", ...received, finish: (_, n) => finished.push(n) });
    expect(finished).toEqual([0]);
    expect(alone.all("folder")).toEqual(["a", "b", "c"]);
  });

  it("stands for the library where neither side has a stamp, and does so in a backfill only", async () => {
    alone.device.db.exec("INSERT INTO folder (uuid, name) VALUES ('a', 'own')");
    const page = pageOf(folders(["a", ["the library's", null]]));
    await receive(page);
    expect(name("a")).toBe("own");
    await receive(page, { phase: "backfill" });
    expect(name("a")).toBe("the library's");
  });

  it("brings references without a stamp to what everybody has", async () => {
    alone.device.apply([alone.device.folder("young", { hlc: 50, origin: 3 })]);
    const referring = pageOf(folders(["d", ["folder d", "young"]]));
    await receive(referring, { phase: "backfill" });
    expect(alone.device.rows().folders).toContainEqual(["d", "folder d", null]);
    await receive(pageOf(folders(["e", ["folder e", "young"]])), { phase: "backfill", settledTo: 60 });
    expect(alone.device.rows().folders).toContainEqual(["e", "folder e", "young"]);
  });

  it("goes the long way as soon as the schema refuses one of its rows", async () => {
    alone.device.db.exec(
      "INSERT INTO folder (id, uuid) VALUES (1, 'x'); INSERT INTO file VALUES (1, 'y', 'taken', 1, 1)",
    );
    const page = pageOf({
      ...files(),
      k: new WireBlock(["a", "b"], [["free", "taken"], [1, 1], { values: ["x"], at: [1, 1] }]),
    });
    const finished: number[] = [];
    const { counts: told } = await receive(page, { phase: "backfill", finish: (_, n) => finished.push(n) });
    expect(told).toEqual({ ...counts, applied: 1, quarantined: 1 });
    expect([alone.all("file"), finished]).toEqual([["a", "y"], [0]]);
  });

  it("passes on what goes wrong otherwise", async () => {
    const error = new Error("no");
    const failing = () => {
      throw error;
    };
    await expect(receive(pageOf(three), { phase: "backfill", finish: failing })).rejects.toBe(error);
    expect(alone.all("folder")).toEqual([]);
    expect([alone.observed, alone.writes.length]).toEqual([[], 1]);
  });
});

describe("what transforms", () => {
  const page = () =>
    pageOf(
      {
        ...folders(folder("d", 10), folder("e", 11, "d"), ["f", [12, B], [], [], 0, ["folder f", "far"]]),
        k: new WireBlock(["k", "l", "m"], [["K", "L", "M"], { values: ["d", "far"], at: [0, 1, 2] }]),
      },
      files(["g", [13, C], [], [], 0, ["g", 1, "d"]], deleted("h", 14, C), ["i", [], [], [0, 15, C], [0], ["i"]]),
    );
  const backfill = { phase: "backfill" } as const;

  it("are given are operations with their references, and the targets of all", async () => {
    let batch: ApplyBatch | undefined;
    alone.transform = (given) => {
      batch = given;
      return {};
    };
    const { id } = await receive(page(), backfill);
    expect(batch).toMatchObject({ id, peer: "origin-2", phase: "backfill" });
    const operations = batch!.operations.map(({ id, model, record, kind, values, references }) => [
      `${id} ${kind} ${model} ${record}`,
      values,
      references.map((it) => Object.values(it).join(" ")),
    ]);
    expect(operations).toStrictEqual([
      ["0 upsert folder d", { name: "folder d", parent_id: null }, []],
      ["1 upsert folder e", { name: "folder e", parent_id: "d" }, ["parent_id folder d false"]],
      ["2 upsert folder f", { name: "folder f", parent_id: "far" }, ["parent_id folder far false"]],
      ["3 upsert file g", { name: "g", size: 1, folder_id: "d" }, ["folder_id folder d true"]],
      ["4 delete file h", {}, []],
      ["5 upsert file i", { name: "i" }, []],
      ["6 upsert folder k", { name: "K", parent_id: null }, []],
      ["7 upsert folder l", { name: "L", parent_id: "d" }, ["parent_id folder d false"]],
      ["8 upsert folder m", { name: "M", parent_id: "far" }, ["parent_id folder far false"]],
    ]);
    expect(batch!.targets).toEqual([
      {
        targetModel: "folder",
        references: new Map([
          ["d", 3],
          ["far", 2],
        ]),
        inBatch: new Set(["d"]),
      },
    ]);
    expect(batch!.operations.every(({ values }) => Object.isFrozen(values))).toBe(true);
  });

  it("are given of targets are none where nothing refers to anything, and those that a block brings", async () => {
    const targets: unknown[] = [];
    alone.transform = (given) => {
      targets.push(given.targets.map(({ references, inBatch }) => [[...references], [...inBatch]]));
      return {};
    };
    await receive(pageOf(folders(folder("d", 10))));
    await receive(pageOf({ ...folders(), k: new WireBlock(["j"], [["J"], { values: [], at: [0] }]) }), backfill);
    await receive(
      pageOf({ ...folders(), k: new WireBlock(["k", "l"], [["K", "L"], { values: ["k"], at: [1, 1] }]) }),
      backfill,
    );
    expect(targets).toEqual([[], [], [[[["k", 2]], ["k"]]]]);
  });

  it("are not asked where nothing came", async () => {
    let asked = 0;
    alone.transform = () => {
      asked += 1;
      return {};
    };
    await receive(pageOf());
    await receive(pageOf({ m: "boat", c: [], r: [["x", []]] }));
    expect(asked).toBe(0);
  });

  it("withhold is kept aside with the reason, and the rest is taken in one by one", async () => {
    alone.transform = ({ operations }) => ({
      deferred: operations.filter(({ record }) => record === "k").map(({ id }) => ({ id, reason: "later" })),
      rejected: operations.filter(({ record }) => record === "g").map(({ id }) => ({ id, reason: "never" })),
    });
    const { models } = await receive(page(), backfill);
    expect(alone.device.db.prepare("SELECT record, kind, reason FROM tidemark_parked ORDER BY 1").raw().all()).toEqual([
      ["g", "quarantined", expect.stringContaining("never")],
      ["k", "deferred", "later"],
    ]);
    expect(alone.all("folder")).toEqual(["d", "e", "f", "l", "m"]);
    expect(models.folder).toMatchObject({ deferred: 1 } satisfies Partial<BatchCounts>);
    expect(models.file).toMatchObject({ rejected: 1 } satisfies Partial<BatchCounts>);
  });

  it.each(["deferred", "rejected"] as const)(
    "withhold of a block, and be it only as %s, is found in it",
    async (how) => {
      alone.transform = ({ operations }) => {
        const named: OperationOutcome[] = operations
          .filter((it) => it.record === "k")
          .map(({ id }) => ({ id, reason: "no" }));
        return { [how]: named };
      };
      await receive(page(), backfill);
      expect(alone.all("folder")).toEqual(["d", "e", "f", "l", "m"]);
    },
  );

  it("have nothing to say against goes the short way", async () => {
    alone.transform = () => ({});
    const finished: number[] = [];
    const k = new WireBlock(["k", "l"], [["K", "L"], { values: ["k"], at: [0, 1] }]);
    await receive(pageOf({ ...folders(), k }), { ...backfill, finish: (_, inserted) => finished.push(inserted) });
    expect(finished).toEqual([2]);
  });

  it("resolve is not looked up any more, as long as nobody has written meanwhile", async () => {
    await receive(pageOf(folders(folder("d", 10))));
    const { library } = alone;
    const key = alone.device.db.prepare("SELECT id FROM folder").pluck().get() as number;
    alone.transform = () => ({
      resolutions: new Map([
        [
          "folder",
          new Map([
            ["d", { kind: "found", localKey: key } as const],
            ["far", { kind: "missing" } as const],
          ]),
        ],
        ["of its own invention", new Map()],
      ]),
    });
    const { referenceLookups } = await receive(
      pageOf(folders(["e", [20, B], [], [], 0, ["e", "d"]], ["f", [20, B], [], [], 0, ["f", "far"]])),
    );
    expect(alone.device.rows().folders).toEqual([
      ["d", "folder d", null],
      ["e", "e", "d"],
      ["f", "f", null],
    ]);
    expect([referenceLookups, library.resolvesReferences]).toEqual([0, true]);
  });

  it("resolve is looked up anew when something was written since", async () => {
    await receive(pageOf(folders(folder("d", 10))));
    const { db } = alone.device;
    alone.transform = () => {
      alone.device.apply([alone.device.folder("g", { hlc: 15, origin: 3 })]);
      db.exec("UPDATE folder SET id = 77 WHERE uuid = 'd'");
      const invented = new Map([["x", { kind: "missing" } as const]]);
      return {
        resolutions: new Map<string, ReadonlyMap<string, ReferenceResolution>>([
          ["folder", new Map([["d", { kind: "found", localKey: 1 } as const]])],
          ["of its own invention", invented],
        ]),
      };
    };
    await receive(pageOf(folders(["e", [20, B], [], [], 0, ["e", "d"]])));
    expect(db.prepare("SELECT parent_id FROM folder WHERE uuid = 'e'").pluck().get()).toBe(77);
  });

  it("keeps in mind, from slice to slice, what the slices before have brought", async () => {
    alone.sliceSize = 1;
    alone.transform = () => ({ resolutions: new Map([["folder", new Map([["d", { kind: "missing" } as const]])]]) });
    const { referenceLookups } = await receive(pageOf(folders(folder("d", 10), folder("e", 11, "d"))));
    expect(alone.device.rows().folders).toContainEqual(["e", "folder e", "d"]);
    expect(referenceLookups).toBe(0);
  });

  it("have shown whether they resolve references only by a batch that has some", async () => {
    const { library } = alone;
    const shown: boolean[] = [];
    const pages: readonly [ReceivedPage["page"], Partial<ReceivedPage>][] = [
      [pageOf(folders(folder("d", 10))), {}],
      [pageOf(files(deleted("x", 10))), {}],
      [pageOf(folders(folder("e", 11, "d"))), {}],
      [pageOf({ ...folders(), k: new WireBlock(["k"], [["K"], { values: [], at: [0] }]) }), backfill],
      [pageOf({ ...folders(), k: new WireBlock(["l"], [["L"], { values: ["d"], at: [1] }]) }), backfill],
      [
        pageOf({
          ...folders(),
          k: new WireBlock(
            ["m"],
            [
              { values: ["M"], at: [1] },
              { values: [], at: [0] },
            ],
          ),
        }),
        backfill,
      ],
      [pageOf({ m: "note", c: ["text", "about", "file_id"], r: [["n", [12, B], [], [], 0, ["n", "d", null]]] }), {}],
    ];
    for (const [page, received] of pages) {
      alone.transform = () => ({ resolutions: new Map() });
      library.resolvesReferences = true;
      await receive(page, received);
      shown.push(library.resolvesReferences);
    }
    // True is what was known before: it is given up where there were references and nobody resolved them.
    expect(shown).toEqual([true, true, false, true, false, true, false]);
  });
});
