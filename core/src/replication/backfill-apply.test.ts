import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readJournal } from "../storage/journal.js";
import { LogTransaction, readState } from "../storage/log-transaction.js";
import { noteUnseen } from "../storage/unseen.js";
import { loadVector } from "../storage/vectors.js";
import { at } from "./apply.test-support.js";
import { applyServedPage, checkServedPage, journalOverwritten, type ServedPage } from "./backfill-apply.js";
import type { Stretch } from "./backfill-ranges.js";
import { loadBackfill, saveBackfill } from "./backfill-store.js";
import { recordCountOf } from "./decode-records.js";
import { B, C, files, folders, LibraryAlone, pageOf } from "./library.test-support.js";
import { type BackfillMode, beginBackfill } from "./membership.js";
import type { MessageOf } from "./messages.js";
import { loadPeer, updatePeer } from "./peer-store.js";
import { WireBlock } from "./wire-block.js";
import type { WireRecord, WireRecords } from "./wire-records.js";

let alone: LibraryAlone;
beforeEach(() => {
  alone = new LibraryAlone();
});
afterEach(async () => {
  await alone.clock.settle();
  expect(alone.device.db.pragma("foreign_key_check")).toEqual([]);
  alone.device.db.close();
});

const WHOLE: Stretch = [null, null];
const MODELS = ["folder", "file"];

/** A backfill whose servers have noted that they have everything up to 100. */
function begin(
  mode: BackfillMode,
  noted: Readonly<Record<string, number>> = { "origin-2": 100, "origin-3": 100 },
): void {
  const { db } = alone.device;
  beginBackfill(db, mode, 0);
  saveBackfill(db, { noted, floor: 0, cursors: {}, total: 9 });
}

interface Served {
  readonly model?: string;
  readonly stretch?: Stretch;
  readonly floor?: number;
  readonly servers?: readonly string[];
  readonly order?: readonly string[];
}

/** Takes in a page of folders, or of another model. */
function take(
  records: WireRecords,
  { model = "folder", stretch = WHOLE, floor = 0, servers = ["origin-2"], order = MODELS }: Served = {},
) {
  const page: ServedPage = { peer: "origin-2", model, stretch, records, count: recordCountOf(records), floor };
  return applyServedPage(alone.library, page, { order, servers: new Set(servers), inspect: undefined });
}

const settled = (identity: string, parent: string | null = null): WireRecord => [
  identity,
  [`folder ${identity}`, parent],
];
/** A row from before, without a stamp. */
function here(...identities: readonly string[]): void {
  for (const identity of identities) {
    alone.device.db.prepare("INSERT INTO folder (uuid, name) VALUES (?, 'here')").run(identity);
  }
}
const stampsOf = (record: string) =>
  alone.device.aside().stamps.flatMap(([, identity, ...stamp]) => (identity === record ? [stamp] : []));
const journal = () =>
  readJournal(alone.device.db, { limit: 99 }).map(({ kind, model, record, values }) => [kind, model, record, values]);

describe("a served page", () => {
  const rows = (records: WireRecords, upTo: string | null) =>
    ({ t: "backfill-rows", request: 1, records, upTo, floor: 7 }) as unknown as MessageOf<"backfill-rows">;
  const block = (...identities: readonly string[]) => ({
    ...folders(),
    k: new WireBlock(identities, [identities, identities]),
  });

  it("covers what was asked for, or the beginning of it", () => {
    const records = pageOf(folders(settled("d"), settled("m")), block("c", "e"));
    const checked = { peer: "p", model: "folder", count: 4, floor: 7 };
    expect(checkServedPage("p", "folder", ["b", "z"], rows(records, "m"))).toMatchObject({
      ...checked,
      stretch: ["b", "m"],
    });
    expect(checkServedPage("p", "folder", ["b", "z"], rows(records, "z"))).toMatchObject({
      ...checked,
      stretch: ["b", "z"],
    });
    expect(checkServedPage("p", "folder", ["b", null], rows(records, null))).toMatchObject({ stretch: ["b", null] });
    expect(checkServedPage("p", "folder", ["b", null], rows(records, "m"))).toMatchObject({ stretch: ["b", "m"] });
    expect(checkServedPage("p", "folder", ["b", "z"], rows(pageOf(block()), "z")).count).toBe(0);
  });

  it.each<[string, Stretch, WireRecords, string | null, string]>([
    ["stands still", ["b", "z"], pageOf(), "b", "forward"],
    ["goes back", ["b", "z"], pageOf(), "a", "forward"],
    ["goes on behind its end", ["b", "y"], pageOf(), "z", "only to where"],
    ["goes on to the end of the model", ["b", "y"], pageOf(), null, "only to where"],
    ["holds another model", WHOLE, pageOf(folders(), files()), null, "another model"],
    ["holds a record from before it", ["b", "z"], pageOf(folders(settled("c"), settled("b"))), "z", "outside"],
    ["holds a record from behind it", ["b", "z"], pageOf(folders(settled("n"), settled("c"))), "m", "outside"],
    ["has a block that begins before it", ["b", "z"], pageOf(block("b", "c")), "z", "outside"],
    ["has a block that ends behind it", ["b", "z"], pageOf(block("c", "d", "n")), "m", "outside"],
    [
      "has a record beside its block from outside",
      ["b", "z"],
      pageOf({ ...block("c"), r: [settled("a")] }),
      "z",
      "outside",
    ],
  ])("is refused where it %s", (_, asked, records, upTo, reason) => {
    expect(() => checkServedPage("p", "folder", asked, rows(records, upTo))).toThrow(
      expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED", message: expect.stringContaining(reason) }),
    );
  });

  it("commits together with the account of what is still open", async () => {
    begin("join");
    const first = await take(pageOf(folders(settled("a"), settled("b"))), { stretch: [null, "b"], floor: 5 });
    expect(first).toEqual({ record: loadBackfill(alone.device.db), last: false, parked: 0 });
    expect(first.record).toMatchObject({ floor: 5, total: 9, cursors: { folder: { open: [["b", null]], done: 2 } } });
    const second = await take(pageOf(folders(settled("c"))), { stretch: ["b", null], floor: 3 });
    expect(second.record).toMatchObject({ floor: 5, cursors: { folder: { open: [], done: 3 } } });
    expect(alone.all("folder")).toEqual(["a", "b", "c"]);
    expect(alone.eventsOf("batchApplied")).toMatchObject([
      { peer: "origin-2", phase: "backfill", vectorMoved: false },
      { vectorMoved: false },
    ]);
  });

  it("is refused where its range is not open, or no backfill goes on", async () => {
    await expect(take(pageOf())).rejects.toThrow("no backfill");
    begin("join");
    await take(pageOf(), { stretch: [null, "m"] });
    await expect(take(pageOf(folders(settled("c"))), { stretch: ["b", "d"] })).rejects.toThrow("not open");
    expect(alone.all("folder")).toEqual([]);
  });

  it("makes the backfill start over where its server has forgotten more than was noted", async () => {
    begin("full", { "origin-2": 50, "origin-3": 100 });
    here("old");
    await take(pageOf(folders(settled("a"))), { stretch: [null, "a"], floor: 50 });
    await expect(take(pageOf(folders(settled("b"))), { stretch: ["a", null], floor: 51 })).rejects.toMatchObject({
      code: "TIDEMARK_BACKFILL_OUTDATED",
    });
    expect(alone.all("folder")).toEqual(["a", "old"]);
    expect(loadBackfill(alone.device.db)).toMatchObject({ mode: "full", noted: null, floor: 0, cursors: {} });
  });

  it("that fails otherwise leaves the account as it is", async () => {
    begin("full");
    const before = loadBackfill(alone.device.db);
    alone.transform = () => {
      throw new Error("a plugin has failed");
    };
    await expect(take(pageOf(folders(settled("a"))))).rejects.toThrow("a plugin has failed");
    expect(loadBackfill(alone.device.db)).toEqual(before);
  });

  it("tells how many of its records are kept aside", async () => {
    begin("join");
    await take(pageOf(folders(settled("d"))));
    const page = pageOf(
      files(["f", [10, C], [], [], 0, ["f", 1, "d"]], ["g", [10, C], [], [], 0, ["g", 1, "missing"]]),
    );
    expect((await take(page, { model: "file", order: [...MODELS, "note"] })).parked).toBe(1);
  });

  it("of a model that is not known here only closes its range", async () => {
    begin("join");
    const records = pageOf({ m: "boat", c: [], r: [["x", []]] });
    const { record } = await take(records, { model: "boat" });
    expect(record.cursors).toEqual({ boat: { open: [], done: 1 } });
  });

  it("lets whoever inspects it see its records", async () => {
    begin("join");
    const seen: string[] = [];
    const records = pageOf(folders(settled("a")));
    await applyServedPage(
      alone.library,
      { peer: "origin-2", model: "folder", stretch: WHOLE, records, count: 1, floor: 0 },
      {
        order: MODELS,
        servers: new Set(),
        inspect: (_, inspected) => seen.push(...inspected.map(({ record }) => record)),
      },
    );
    expect(seen).toEqual(["a"]);
  });
});

describe("what only a joining device has", () => {
  it("is issued as its own, as born right after the join, with younger references", async () => {
    here("mine", "other");
    alone.device.db.exec(
      "UPDATE folder SET parent_id = (SELECT id FROM folder WHERE uuid = 'other') WHERE uuid = 'mine'",
    );
    begin("join");
    await take(pageOf(folders(settled("a"))));
    const { hlc } = readState(alone.device.db);
    const birth = [-1, 2, 1, 0, 0, null];
    expect(stampsOf("other")).toEqual([birth, [2, expect.any(Number), 1, 0, 0, null]]);
    expect(stampsOf("mine")).toEqual([birth, [2, expect.any(Number), 1, 0, 0, null]]);
    expect(Math.max(...[...stampsOf("mine"), ...stampsOf("other")].map((stamp) => Number(stamp[1])))).toBe(hlc);
    expect(alone.all("folder")).toEqual(["a", "mine", "other"]);
    expect(stampsOf("a")).toEqual([]);
    expect(journal()).toEqual([]);
  });

  it("begins the same life as that of whoever comes back with a row of its own: behind the floor", async () => {
    alone.device.db.exec("INSERT INTO partner VALUES ('mine', 'mine')");
    here("mine");
    begin("join");
    await take(pageOf({ m: "partner", c: ["other"], r: [] }), { model: "partner", floor: 50 });
    expect(stampsOf("mine")[0]).toEqual([-1, 2, 1, 50, 0, null]);
    alone.device.db.exec("UPDATE tidemark_state SET floor = 60");
    await take(pageOf(folders()));
    expect(stampsOf("mine").find(([, , , prior]) => Number(prior) === 60)).toBeDefined();
  });

  it("without references has no stamp but that of its birth", async () => {
    here("d");
    alone.device.db.exec("INSERT INTO note (uuid) VALUES ('n')");
    begin("join");
    Object.assign(alone.device.model("note"), { references: [] });
    await take(pageOf(), { model: "note" });
    expect(stampsOf("n")).toEqual([[-1, 2, 1, 0, 0, null]]);
  });

  it("is looked for in the range of the page alone", async () => {
    here("b", "c", "m", "n");
    begin("join");
    await take(pageOf(folders(settled("c"))), { stretch: ["b", "m"] });
    expect(["b", "c", "m", "n"].map((record) => stampsOf(record).length > 0)).toEqual([false, false, true, false]);
  });

  it("is left as it is where it has been issued or heard of before", async () => {
    const { device } = alone;
    device.apply([
      device.folder("old", at(50, 2)),
      device.folder("young", at(150, 2)),
      device.folder("own", at(60, 1)),
    ]);
    begin("join");
    await take(pageOf());
    expect(["old", "young", "own"].map((record) => stampsOf(record).map(([, hlc]) => hlc))).toEqual([
      [50],
      [150],
      [60],
    ]);
    expect(alone.all("folder")).toEqual(["old", "own", "young"]);
  });

  it("keeps the stamps of its edits", async () => {
    here("mine");
    alone.device.apply([alone.device.edited("folder", "mine", at(70, 1), { name: "edited" })]);
    begin("join");
    await take(pageOf());
    expect(stampsOf("mine").map(([column, hlc]) => [column, hlc])).toContainEqual([1, 70]);
  });

  it("is issued where it is kept aside, too, and comes in once its reference is younger than its target", async () => {
    const { device } = alone;
    device.apply([device.folder("d", at(50, 2))]);
    // A row without a stamp, which referred to a life before that of d.
    device.db.exec(`INSERT INTO file (uuid, name, size, folder_id) SELECT 'f', 'f', 1, id FROM folder`);
    device.reconsider([
      { model: device.model("file"), record: "f", lost: { column: device.model("file").references[0]!, target: "d" } },
    ]);
    expect(device.kinds()).toEqual([["f", "hidden"]]);
    begin("join");
    await take(pageOf(), { model: "file" });
    expect(device.kinds()).toEqual([]);
    expect(alone.all("file")).toEqual(["f"]);
  });

  it("reads again what it refers to, where that was taken for another life before", async () => {
    const { device } = alone;
    device.apply([device.folder("d", at(50, 2))]);
    device.db.exec("INSERT INTO folder (uuid, name) VALUES ('mine', 'mine')");
    device.reconsider([
      {
        model: device.model("folder"),
        record: "mine",
        lost: { column: device.model("folder").references[0]!, target: "d" },
      },
    ]);
    expect(device.rows().folders).toContainEqual(["mine", "mine", null]);
    begin("join");
    await take(pageOf());
    expect(device.rows().folders).toContainEqual(["mine", "mine", "d"]);
  });

  it("does not hold what came to refer to another life of it", async () => {
    here("mine");
    begin("join");
    await take(pageOf(files(["f", [0, 0], [], [2, 50, B], 0, ["f", 1, "mine"]])), { model: "file" });
    expect(alone.all("file")).toEqual(["f"]);
    alone.device.db.exec("UPDATE tidemark_member SET join_hlc = 90 WHERE num = 1");
    alone.device.members.load(alone.device.db);
    await take(pageOf());
    expect(alone.all("folder")).toEqual(["mine"]);
    expect(alone.device.kinds()).toEqual([["f", "hidden"]]);
  });
});

describe("what a member has and the library lacks", () => {
  it("is removed where it has no stamp, or the servers knew of its birth, and no other", async () => {
    const { device } = alone;
    here("unstamped", "served");
    device.apply([
      device.folder("known", at(100, 2)),
      device.folder("young", at(101, 2)),
      device.folder("unheard", at(50, 1)),
    ]);
    begin("full");
    await take(pageOf(folders(settled("served"))));
    expect(alone.all("folder")).toEqual(["served", "unheard", "young"]);
    expect(["known", "unheard"].map((record) => stampsOf(record).length)).toEqual([0, 1]);
    // With no stamp it is old; with one, something of it may have got lost.
    expect(journal()).toEqual([["removed-by-backfill", "folder", "known", { name: "folder known", parent_id: null }]]);
    expect(readJournal(device.db, { limit: 1 })[0]).toMatchObject({
      at: alone.clock.now(),
      reason: "the library has deleted the record; it had changes that were not sent",
    });
  });

  it("goes to the journal without a stamp where writes may have gone unseen", async () => {
    here("unstamped");
    noteUnseen(alone.device.db, [alone.device.model("folder").number]);
    begin("full");
    await take(pageOf());
    expect(alone.all("folder")).toEqual([]);
    expect(readJournal(alone.device.db, { limit: 9 })).toMatchObject([
      {
        record: "unstamped",
        reason: "the library does not have the record; it may have been written unseen",
        values: { name: "here", parent_id: null },
      },
    ]);
  });

  it("is looked for in the range of the page alone, in blocks as in single records", async () => {
    here("a", "b", "c", "d", "e");
    begin("full");
    const k = new WireBlock(["c"], [["C"], { values: [], at: [0] }]);
    await take(pageOf({ ...folders(settled("b")), k }), { stretch: ["a", "d"] });
    expect(alone.all("folder")).toEqual(["a", "b", "c", "e"]);
  });

  it("is found in ranges of many records", async () => {
    const { db } = alone.device;
    db.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2050)
      INSERT INTO folder (uuid, name) SELECT printf('x%05d', i), 'here' FROM n`);
    begin("full");
    await take(pageOf(folders(settled("x00001"), settled("x01999"), settled("x02050"))));
    expect(alone.all("folder")).toEqual(["x00001", "x01999", "x02050"]);
  });

  it("takes along what requires it, and goes where it is hidden, too", async () => {
    const { device } = alone;
    device.apply([
      device.folder("d", at(50, 2)),
      device.file("f", at(150, 2), "d"),
      device.file("g", at(60, 2), "far"),
    ]);
    expect(device.kinds()).toEqual([["g", "hidden"]]);
    begin("full");
    await take(pageOf());
    expect([alone.all("folder"), alone.all("file"), device.kinds()]).toEqual([
      [],
      [],
      [
        ["f", "hidden"],
        ["g", "hidden"],
      ],
    ]);
    await take(pageOf(), { model: "file", order: [...MODELS, "note"] });
    expect(device.kinds()).toEqual([["f", "hidden"]]);
    // It was in no table, so nothing of it is lost to anybody who looked at it.
    expect(journal().map(([, , record]) => record)).toEqual(["d"]);
  });

  it.each(["reissue", "journal"] as const)(
    "stays until it is issued again if it never got out: %s",
    async (onReturn) => {
      Object.assign(alone.library.deps.settings.membership, { onReturn });
      here("unsent", "gone");
      const unsent = alone.device.db.prepare(
        "INSERT INTO tidemark_unsent (hlc, model, record, born, page) VALUES (5, ?, 'unsent', 1, '')",
      );
      unsent.run(alone.device.model("folder").number);
      begin("full");
      await take(pageOf());
      expect(alone.all("folder")).toEqual(onReturn === "reissue" ? ["unsent"] : []);
    },
  );

  it("is nothing where all that is here was served", async () => {
    begin("full");
    const k = new WireBlock(["a", "b"], [["A", "B"], { values: [], at: [0, 0] }]);
    await take(pageOf({ ...folders(), k }), { stretch: [null, "b"] });
    // The same again, from another server, with a record less.
    begin("full");
    const short = new WireBlock(["b"], [["B"], { values: [], at: [0] }]);
    await take(pageOf({ ...folders(), k: short }), { stretch: [null, "b"] });
    expect(alone.all("folder")).toEqual(["b"]);
  });

  it("is found beside records that are all new here", async () => {
    here("old");
    alone.device.apply([alone.device.file("hidden", at(50, 2), "far")]);
    begin("full");
    const k = new WireBlock(["a", "b"], [["A", "B"], { values: [], at: [0, 0] }]);
    await take(pageOf({ ...folders(), k }));
    expect(alone.all("folder")).toEqual(["a", "b"]);
    const f = new WireBlock(["f", "g"], [["F", "G"], [1, 1], { values: ["a"], at: [1, 1] }]);
    await take(pageOf({ ...files(), k: f }), { model: "file", order: [...MODELS, "note"] });
    expect([alone.all("file"), alone.device.kinds()]).toEqual([["f", "g"], []]);
  });
});

describe("the last page", () => {
  it("moves the vector, the clock and the floor to what was noted, and lets the device serve", async () => {
    const { db } = alone.device;
    begin("full", { "origin-1": 80, "origin-2": 100, "origin-3": 90 });
    updatePeer(db, 2, { state: "backfilling", failures: 3, notBefore: 99, fullBackfill: true });
    updatePeer(db, 3, { state: "ready", failures: 1, notBefore: 99, fullBackfill: true });
    await take(pageOf(), { floor: 30 });
    expect(readState(db).ready).toBe(0);
    const { last } = await take(pageOf(), { model: "file", servers: ["origin-2", "origin-3"] });
    expect(last).toBe(true);
    expect(loadBackfill(db)).toBe(null);
    expect(readState(db)).toMatchObject({ ready: 1, hlc: 80, floor: 30 });
    expect([...loadVector(db, 1)]).toEqual([
      [2, 100],
      [3, 90],
    ]);
    expect(alone.rebuilt).toEqual([["folder", "all"]]);
    expect(loadPeer(db, 2)).toMatchObject({ state: "catching-up", failures: 0, notBefore: 0, fullBackfill: false });
    expect(loadPeer(db, 3)).toMatchObject({ state: "ready", failures: 0, notBefore: 0, fullBackfill: false });
    expect(alone.eventsOf("batchApplied")).toMatchObject([{ vectorMoved: false }, { vectorMoved: true }]);
  });

  it("erases what refers to nowhere once everybody has forgotten where to", async () => {
    begin("full");
    await take(pageOf());
    await take(pageOf(files(["f", [20, B], [], [], 0, ["f", 1, "nowhere"]])), { model: "file", floor: 30 });
    expect(alone.device.kinds()).toEqual([]);
  });
});

describe("what gives way to the values of the library", () => {
  function overwritten(mode: BackfillMode, ...records: readonly WireRecord[]): Promise<unknown> {
    return overwrittenOf(mode, folders(...records));
  }

  async function overwrittenOf(mode: BackfillMode, group: ReturnType<typeof folders>): Promise<unknown> {
    const decoded = await alone.library.decode(pageOf(group));
    const { db } = alone.device;
    db.transaction(() => journalOverwritten(alone.library, new LogTransaction(db, () => 0), decoded.records, mode))();
    return journal();
  }

  it("goes to the journal where a device joins: the columns that differ, and no row that has a stamp", async () => {
    here("a", "same", "elsewhere");
    alone.device.apply([alone.device.folder("stamped", at(50))]);
    const told = ["a", "stamped", "absent"].map((it): WireRecord => [it, [20, B], [], [], 0, ["the library's", null]]);
    expect(await overwritten("join", ...told, ["same", ["here", null]])).toEqual([
      ["overwritten-at-join", "folder", "a", { name: "here" }],
    ]);
    expect(readJournal(alone.device.db, { limit: 1 })[0]).toMatchObject({
      at: alone.clock.now(),
      reason: "the library had other values for this record when the device joined",
    });
  });

  it("goes there in a full backfill where writes may have gone unseen, and nowhere else", async () => {
    here("a");
    expect(await overwritten("full", settled("a"))).toEqual([]);
    noteUnseen(alone.device.db, [alone.device.model("folder").number]);
    expect(await overwritten("full", settled("a"))).toEqual([
      ["overwritten-by-backfill", "folder", "a", { name: "here" }],
    ]);
    expect(readJournal(alone.device.db, { limit: 1 })[0]!.reason).toContain("written unseen");
    expect(await overwritten("full")).toHaveLength(1);
  });

  it("are columns of which the server says nothing, too, where they read a default instead", async () => {
    alone.device.apply([alone.device.folder("d", at(5))]);
    alone.device.db.exec("INSERT INTO file (uuid, name, size, folder_id) SELECT 'f', 'own', 9, id FROM folder");
    alone.device.db.exec("INSERT INTO file (uuid, name, size, folder_id) SELECT 'g', NULL, 7, id FROM folder");
    const partly = (identity: string): WireRecord => [identity, [20, B], [], [], [2], ["d"]];
    alone.device.db.exec("INSERT INTO file (uuid, name, size, folder_id) SELECT 'h', 'its', 7, id FROM folder");
    // Nothing could stand in the place of its folder, which it has to have.
    const nameless: WireRecord = ["h", [20, B], [], [], [0], ["its"]];
    expect(await overwrittenOf("join", files(partly("f"), partly("g"), nameless))).toEqual([
      ["overwritten-at-join", "file", "f", { name: "own", size: 9 }],
    ]);
  });

  it("are no columns of which what the library has is kept for later", async () => {
    here("a");
    const decoded = await alone.library.decode(pageOf(folders(settled("a"))));
    const { db } = alone.device;
    const late = decoded.records.map((record) => ({ ...record, late: ["name"] }));
    journalOverwritten(alone.library, new LogTransaction(db, () => 0), late, "join");
    expect(journal()).toEqual([]);
  });
});
