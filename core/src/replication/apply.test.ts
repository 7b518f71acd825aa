import type { WireValue } from "@tidemark/plugin-api";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { at, counts, Device } from "./apply.test-support.js";
import type { IncomingRecord } from "./incoming.js";
import { type Stamp, UNSTAMPED } from "./record-state.js";
import { PlainLookup, type TargetLookup } from "./target-lookup.js";

let device: Device;
beforeEach(() => {
  device = new Device();
});
afterEach(() => {
  // Whatever happened, capture is on again and every reference of the tables leads somewhere.
  expect(device.db.prepare("SELECT count(*) FROM tidemark_applying").pluck().get()).toBe(0);
  expect(device.db.pragma("foreign_key_check")).toEqual([]);
  device.db.close();
});

describe("what comes from a peer", () => {
  it("becomes rows, with their references and stamps", () => {
    const { models, healed, touched } = device.apply([
      device.file("f", at(30), "d", "text"),
      device.folder("e", at(20), "d"),
      device.folder("d", at(10)),
      device.link("f", "e", at(40)),
    ]);
    expect(device.rows()).toEqual({
      folders: [
        ["d", "folder d", null],
        ["e", "folder e", "d"],
      ],
      files: [["f", "text", 1, "d"]],
      links: [["f", "e"]],
      partners: [],
      notes: [],
    });
    expect([...models]).toEqual([
      ["file", { ...counts, applied: 1 }],
      ["folder", { ...counts, applied: 2 }],
      ["link", { ...counts, applied: 1 }],
    ]);
    expect(healed).toEqual([]);
    expect([...touched].map(([model, records]) => [model.name, [...records].sort()]).sort()).toEqual([
      ["file", ["f"]],
      ["folder", ["d", "e"]],
      ["link", ["f e"]],
    ]);
    expect(device.highWater).toBe(40);
    expect(device.applier.writes).toBe(1);
    expect(device.trees).toEqual([["folder", ["d", "e"]]]);
    expect(device.aside()).toMatchObject({ parked: [], waiting: [], extra: [] });
    expect(device.aside().stamps).toHaveLength(4);
  });

  it("wins column by column, and loses without a trace", () => {
    device.apply([device.folder("d", at(10)), device.file("f", at(11), "d", "old")]);
    device.apply([device.edited("file", "f", at(30, 3), { name: "new" })]);
    const { models, touched } = device.apply([device.edited("file", "f", at(20), { name: "late", size: 2 })]);
    expect(device.rows().files).toEqual([["f", "new", 2, "d"]]);
    expect(models.get("file")).toEqual({ ...counts, applied: 1 });
    expect(touched.size).toBe(1);
    const before = device.aside();
    const again = device.apply([device.edited("file", "f", at(25), { name: "late" })]);
    expect(again.models.get("file")).toEqual({ ...counts, superseded: 1 });
    expect(again.touched.size).toBe(0);
    expect(device.applier.writes).toBe(3);
    expect(device.aside()).toEqual(before);
  });

  it("is heard by the clock even where it loses", () => {
    device.apply([device.edited("file", "nobody", at(77), { size: 2 })]);
    expect(device.highWater).toBe(77);
    expect(device.aside()).toEqual({ parked: [], waiting: [], stamps: [], extra: [] });
    expect(device.rows().files).toEqual([]);
  });

  it("is no edit of a dead record where a refused change has taken the row", () => {
    device.apply([device.folder("d", at(10)), device.file("f", at(11), "d", "text"), device.link("f", "d", at(12))]);
    device.db.exec(`DELETE FROM link; DELETE FROM file; DELETE FROM tidemark_stamp;
      INSERT INTO tidemark_restore (model, record) VALUES (2, 'f'), (3, 'f d')`);
    device.apply([
      device.edited("file", "f", at(20), { name: "new", size: 3, folder_id: "d" }),
      device.edited("link", "f d", at(21), { folder_id: "d" }),
    ]);
    expect(device.rows()).toMatchObject({ files: [["f", "new", 3, "d"]], links: [["f", "d"]] });
    expect(device.aside().stamps).toHaveLength(4);
  });

  it("may tell of a record more than once", () => {
    const { models } = device.apply([
      device.folder("d", at(10)),
      device.edited("folder", "d", at(20), { name: "second" }),
      device.edited("folder", "d", at(15), { name: "first" }),
    ]);
    expect(device.rows().folders).toEqual([["d", "second", null]]);
    expect(models.get("folder")).toEqual({ ...counts, applied: 1 });
  });

  it("leaves columns without a value to their default", () => {
    device.apply([device.folder("d", at(10)), device.born("file", "f", at(11), { name: null, folder_id: "d" })]);
    expect(device.rows().files).toEqual([["f", null, 7, "d"]]);
  });

  it("brings columns that are not known here, which are kept while the record lives", () => {
    const folder = device.folder("d", at(10));
    device.apply([{ ...folder, extra: new Map([[9, "kept"]]) }]);
    expect(device.aside().extra).toEqual([[1, "d", 9, '"kept"']]);
    device.apply([device.died("folder", "d", at(20))]);
    expect(device.aside().extra).toEqual([]);
  });

  it("rebuilds no tree while a backfill goes on", () => {
    device.apply([device.folder("d", at(10))], { backfill: true });
    expect(device.trees).toEqual([]);
    expect(device.rows().folders).toHaveLength(1);
  });

  it.each([
    ["deferred", { deferred: 1 }],
    ["quarantined", { rejected: 1 }],
  ] as const)("stays out of its table when a transform says that it is %s", (kind, counted) => {
    const withheld = ({ record }: IncomingRecord) => (record === "d" ? { kind, reason: "because" } : null);
    const { models } = device.apply([device.folder("d", at(10)), device.folder("e", at(10))], { withheld });
    expect(models.get("folder")).toEqual({ ...counts, applied: 1, ...counted });
    expect(device.kinds()).toEqual([["d", kind]]);
    expect(device.rows().folders.map(([uuid]) => uuid)).toEqual(["e"]);
    const { healed } = device.reconsider([{ model: device.model("folder"), record: "d" }]);
    expect(healed).toEqual([{ model: "folder", record: "d" }]);
    expect(device.rows().folders.map(([uuid]: string[]) => uuid)).toEqual(["d", "e"]);
  });
});

describe("a delete", () => {
  it("takes the row, and lets no older edit and no older birth in", () => {
    device.apply([device.folder("d", at(10)), device.file("f", at(11), "d")]);
    const { models } = device.apply([device.died("file", "f", at(30))]);
    expect(models.get("file")).toEqual({ ...counts, applied: 1 });
    device.apply([device.edited("file", "f", at(20), { size: 3 }), device.file("f", at(25), "d")]);
    expect(device.rows().files).toEqual([]);
    expect(device.kinds()).toEqual([]);
  });

  it("keeps younger edits for a later life", () => {
    device.apply([device.folder("d", at(10)), device.file("f", at(11), "d", "old")]);
    device.apply([device.edited("file", "f", at(40), { size: 4 })]);
    device.apply([device.died("file", "f", at(30))]);
    expect(device.rows().files).toEqual([]);
    expect(device.aside().parked).toEqual([[2, "f", "dead", '{"2":4}']]);
    const { healed } = device.apply([
      device.incoming(
        "file",
        "f",
        { births: [at(35)], death: at(30), columns: new Map() },
        { name: "again", size: 1, folder_id: "d" },
      ),
    ]);
    expect(device.rows().files).toEqual([["f", "again", 4, "d"]]);
    expect(healed).toEqual([]);
    expect(device.kinds()).toEqual([]);
  });

  it("of a parent hides its children, empties nullable references and takes junction rows along", () => {
    device.apply([
      device.folder("d", at(10)),
      device.folder("e", at(11), "d"),
      device.file("f", at(11), "d", "kept"),
      device.file("g", at(12), "e"),
      device.link("g", "d", at(13)),
    ]);
    device.apply([device.died("folder", "d", at(20))]);
    expect(device.rows()).toMatchObject({
      folders: [["e", "folder e", null]],
      files: [["g", null, 1, "e"]],
      links: [],
    });
    const { parked, waiting } = device.aside();
    expect(parked).toEqual([
      [2, "f", "hidden", '{"1":"kept","2":1,"3":"d"}'],
      [3, "g d", "hidden", '{"1":"g","2":"d"}'],
    ]);
    expect(waiting).toEqual([
      [1, "e", 2, "d"],
      [2, "f", 3, "d"],
      [3, "g d", 2, "d"],
    ]);
    const again = device.incoming(
      "folder",
      "d",
      { births: [at(30)], death: at(20), columns: new Map() },
      { name: "again", parent_id: null },
    );
    // Another life: what referred to the old one does not refer to this one.
    expect(device.apply([again]).healed).toEqual([]);
    expect(device.rows()).toMatchObject({ files: [["g", null, 1, "e"]], links: [] });
    const { healed } = device.apply([
      device.edited("file", "f", at(31), { folder_id: "d" }),
      device.edited("folder", "e", at(31), { parent_id: "d" }),
    ]);
    expect(healed).toEqual([{ model: "file", record: "f" }]);
    expect(device.rows()).toMatchObject({
      folders: [
        ["d", "again", null],
        ["e", "folder e", "d"],
      ],
      files: [
        ["f", "kept", 1, "d"],
        ["g", null, 1, "e"],
      ],
    });
    expect(device.aside().waiting).toEqual([[3, "g d", 2, "d"]]);
  });

  it("takes children before parents, and moves away first what moves away", () => {
    device.apply([
      device.folder("d", at(10)),
      device.folder("e", at(10)),
      device.file("f", at(11), "d"),
      device.file("g", at(11), "d"),
    ]);
    device.apply([
      device.died("folder", "d", at(20)),
      device.died("file", "f", at(20)),
      device.edited("file", "g", at(20), { folder_id: "e" }),
    ]);
    expect(device.rows()).toMatchObject({ folders: [["e", "folder e", null]], files: [["g", null, 1, "e"]] });
    expect(device.aside()).toMatchObject({ parked: [], waiting: [] });
  });

  it("of a row that something outside holds is put aside, and done once nothing holds it", () => {
    device.apply([device.folder("d", at(10)), device.file("f", at(11), "d")]);
    device.db.exec("INSERT INTO outsider SELECT id FROM file");
    const { models } = device.apply([device.died("file", "f", at(20))]);
    expect(models.get("file")).toEqual({ ...counts, quarantined: 1 });
    expect(device.rows().files).toHaveLength(1);
    expect(device.kinds()).toEqual([["f", "quarantined"]]);
    device.db.exec("DELETE FROM outsider");
    device.reconsider([{ model: device.model("file"), record: "f" }]);
    expect(device.rows().files).toEqual([]);
    expect(device.kinds()).toEqual([]);
  });
});

describe("a record whose required target is not here", () => {
  it("is hidden with all its values, and heals when the target comes", () => {
    const { models } = device.apply([device.file("f", at(30), "d", "text"), device.link("f", "d", at(31))]);
    expect([models.get("file"), models.get("link")]).toEqual([
      { ...counts, parked: 1 },
      { ...counts, parked: 1 },
    ]);
    device.apply([device.edited("file", "f", at(35), { size: 5 })]);
    expect(device.rows().files).toEqual([]);
    const { healed } = device.apply([device.folder("d", at(10))]);
    expect(healed).toEqual([
      { model: "file", record: "f" },
      { model: "link", record: "f d" },
    ]);
    expect(device.rows()).toMatchObject({ files: [["f", "text", 5, "d"]], links: [["f", "d"]] });
    expect(device.aside()).toMatchObject({ parked: [], waiting: [] });
  });

  it("hides whatever requires it, however far away and whatever came first", () => {
    const state = { births: [at(10)], death: UNSTAMPED, columns: new Map([[1, at(11)]]) };
    const partner = (record: string, other: string) => device.incoming("partner", record, state, { other });
    device.apply([
      ...[partner("a", "b"), partner("b", "c"), partner("c", "missing"), partner("also", "c")],
      ...[device.link("f", "e", at(31)), device.file("f", at(30), "missing"), device.folder("e", at(10))],
    ]);
    expect(device.rows()).toMatchObject({ folders: [["e", "folder e", null]], files: [], links: [], partners: [] });
    // Hidden by the rule, and not by the schema that would refuse them.
    expect(device.aside().parked.map(([, record, kind]) => [record, kind])).toEqual(
      ["f", "f e", "a", "also", "b", "c"].map((record) => [record, "hidden"]),
    );
    expect(device.aside().waiting).toEqual([
      [2, "f", 3, "missing"],
      [3, "f e", 1, "f"],
      [4, "a", 1, "b"],
      [4, "also", 1, "c"],
      [4, "b", 1, "c"],
      [4, "c", 1, "missing"],
    ]);
  });

  it("is hidden when its target begins another life in one go, and is back when that turns out to be the same one", () => {
    const reborn = (hlc: number, death: Stamp) =>
      device.incoming(
        "folder",
        "d",
        { births: [at(hlc)], death, columns: new Map() },
        { name: "another", parent_id: null },
      );
    device.apply([device.folder("d", at(10)), device.folder("e", at(11), "d"), device.file("f", at(11), "d")]);
    device.apply([reborn(30, at(20))]);
    expect(device.rows()).toMatchObject({
      folders: [
        ["d", "another", null],
        ["e", "folder e", null],
      ],
      files: [],
    });
    device.apply([device.file("g", at(25), "d")]);
    expect(device.rows().files).toEqual([]);
    const { healed } = device.apply([reborn(22, UNSTAMPED)]);
    expect(healed).toEqual([{ model: "file", record: "g" }]);
    expect(device.rows().files).toEqual([["g", null, 1, "d"]]);
  });

  it("is deleted without having been seen", () => {
    device.apply([device.file("f", at(11), "d")]);
    device.apply([device.died("file", "f", at(20))]);
    expect(device.aside()).toMatchObject({ parked: [], waiting: [] });
    expect(device.apply([device.folder("d", at(5))]).healed).toEqual([]);
    expect(device.rows().files).toEqual([]);
  });

  it("is hidden when it moves to such a target, and is back when it moves away from it", () => {
    device.apply([device.folder("d", at(10)), device.file("f", at(11), "d", "text")]);
    device.apply([device.edited("file", "f", at(20), { folder_id: "x" })]);
    expect(device.rows().files).toEqual([]);
    device.apply([device.edited("file", "f", at(30), { folder_id: "d" })]);
    expect(device.rows().files).toEqual([["f", "text", 1, "d"]]);
    expect(device.aside()).toMatchObject({ parked: [], waiting: [] });
  });

  it("comes in with all of a cycle, or not at all", () => {
    const state = { births: [at(10)], death: UNSTAMPED, columns: new Map([[1, at(11)]]) };
    const partner = (record: string, other: string) => device.incoming("partner", record, state, { other });
    device.apply([partner("a", "b"), partner("b", "c"), partner("self", "self")]);
    expect(device.rows().partners).toEqual([["self", "self"]]);
    device.apply([partner("c", "a")]);
    expect(device.rows().partners.map(([uuid]: string[]) => uuid)).toEqual(["a", "b", "c", "self"]);
    device.apply([device.died("partner", "b", at(20))]);
    expect(device.rows().partners).toEqual([["self", "self"]]);
  });

  it("does without a nullable one: the reference reads NULL until the target comes", () => {
    device.apply([device.folder("e", at(20), "d")]);
    expect(device.rows().folders).toEqual([["e", "folder e", null]]);
    expect(device.aside()).toMatchObject({ parked: [], waiting: [[1, "e", 2, "d"]] });
    device.apply([device.folder("d", at(10))]);
    expect(device.rows().folders).toEqual([
      ["d", "folder d", null],
      ["e", "folder e", "d"],
    ]);
    expect(device.aside().waiting).toEqual([]);
  });

  it("takes in the target of a nullable one together with a change of something else", () => {
    device.apply([device.folder("e", at(20), "d"), device.note("n", at(20), "d", "f")]);
    device.apply([
      device.edited("folder", "e", at(30), { name: "edited" }),
      device.edited("note", "n", at(30), { text: "edited" }),
      device.folder("d", at(10)),
    ]);
    expect(device.rows()).toMatchObject({
      folders: [
        ["d", "folder d", null],
        ["e", "edited", "d"],
      ],
      notes: [["n", "edited", "d", "integer", null]],
    });
    expect(device.aside().waiting.map(([, , column, target]) => [column, target])).toEqual([[3, "f"]]);
  });

  it("does not take it in where the change is that nothing is referred to any more, or another life says nothing of it", () => {
    device.apply([device.folder("e", at(20), "d"), device.folder("c", at(20), "d")]);
    const again = device.born("folder", "c", at(40), { name: "again" });
    device.apply([
      device.edited("folder", "e", at(30), { parent_id: null }),
      { ...again, state: { ...again.state, death: at(35) } },
      device.folder("d", at(10)),
    ]);
    expect(device.rows().folders).toEqual([
      ["c", "again", null],
      ["d", "folder d", null],
      ["e", "folder e", null],
    ]);
    expect(device.aside().waiting).toEqual([]);
  });

  it("reads NULL once its target has gone, though the same batch has changed another reference of the record", () => {
    device.apply([
      ...[device.folder("d", at(10)), device.folder("c", at(10)), device.file("f", at(11), "c")],
      ...["n", "o"].map((record) => device.note(record, at(20), "d")),
    ]);
    device.apply([
      device.edited("note", "n", at(30), { file_id: "f" }),
      device.edited("note", "o", at(30), { about: null }),
      device.died("folder", "d", at(30)),
    ]);
    expect(device.rows().notes.map(([uuid, , about, , file]) => [uuid, about, file])).toEqual([
      ["n", null, "f"],
      ["o", null, null],
    ]);
    expect(device.aside().waiting.map(([, record, , target]) => [record, target])).toEqual([["n", "d"]]);
  });

  it("reads another target as soon as an edit says so", () => {
    device.apply([device.folder("e", at(20), "d"), device.folder("c", at(10))]);
    device.apply([device.edited("folder", "e", at(30), { parent_id: "c" })]);
    expect(device.rows().folders).toContainEqual(["e", "folder e", "c"]);
    device.apply([device.edited("folder", "e", at(40), { parent_id: null })]);
    expect(device.rows().folders).toContainEqual(["e", "folder e", null]);
    expect(device.aside().waiting).toEqual([]);
  });
});

describe("what the schema refuses", () => {
  beforeEach(() => void device.apply([device.folder("d", at(5)), device.file("f", at(10), "d", "taken")]));

  it("is put aside with what requires it, and heals when it fits", () => {
    const { models } = device.apply([device.file("g", at(20), "d", "taken"), device.link("g", "d", at(21))]);
    expect([models.get("file"), models.get("link")]).toEqual([
      { ...counts, quarantined: 1 },
      { ...counts, parked: 1 },
    ]);
    device.apply([device.edited("file", "f", at(30), { name: "other" })]);
    const { healed } = device.reconsider([{ model: device.model("file"), record: "g" }]);
    expect(healed.map(({ record }) => record)).toEqual(["g", "g d"]);
    expect(device.rows()).toMatchObject({
      files: [
        ["f", "other", 1, "d"],
        ["g", "taken", 1, "d"],
      ],
      links: [["g", "d"]],
    });
  });

  it("leaves a row as it was, and is laid over it once it fits", () => {
    device.apply([device.file("g", at(20), "d", "free")]);
    const { models } = device.apply([device.edited("file", "g", at(30), { name: "taken", size: 9 })]);
    expect(models.get("file")).toEqual({ ...counts, quarantined: 1 });
    expect(device.rows().files).toContainEqual(["g", "free", 1, "d"]);
    device.apply([device.died("file", "f", at(40))]);
    const { healed } = device.reconsider([{ model: device.model("file"), record: "g" }]);
    expect(healed).toEqual([{ model: "file", record: "g" }]);
    expect(device.rows().files).toEqual([["g", "taken", 9, "d"]]);
    expect(device.kinds()).toEqual([]);
  });

  it("is nothing where a value becomes free in the same batch, whatever the order", () => {
    device.apply([device.file("g", at(20), "d", "taken"), device.edited("file", "f", at(20), { name: "other" })]);
    device.apply([device.edited("file", "g", at(30), { name: "third" }), device.file("h", at(30), "d", "taken")]);
    expect(device.rows().files.map(([uuid, name]: string[]) => [uuid, name])).toEqual([
      ["f", "other"],
      ["g", "third"],
      ["h", "taken"],
    ]);
    expect(device.kinds()).toEqual([]);
  });

  it("is nothing where rows exchange unique values, beside one that does not fit", () => {
    device.apply(["g", "h"].map((record) => device.file(record, at(20), "d", record)));
    const renamed = (record: string, name: string, size = 2) => device.edited("file", record, at(30), { name, size });
    device.apply([renamed("f", "g"), renamed("g", "h"), renamed("h", "taken")]);
    expect(device.rows().files).toEqual([
      ["f", "g", 2, "d"],
      ["g", "h", 2, "d"],
      ["h", "taken", 2, "d"],
    ]);
    device.apply([
      device.edited("file", "f", at(40), { name: "h" }),
      device.edited("file", "g", at(40), { name: "g" }),
      device.edited("file", "h", at(40), { size: -1 }),
    ]);
    expect(device.rows().files).toEqual([
      ["f", "h", 2, "d"],
      ["g", "g", 2, "d"],
      ["h", "taken", 2, "d"],
    ]);
    expect(device.kinds()).toEqual([["h", "quarantined"]]);
  });

  it("is told apart from what is broken", () => {
    device.db.exec("DROP TABLE link");
    expect(() => device.apply([device.link("f", "d", at(20))])).toThrow(/link/);
  });
});

describe("records that are looked at again", () => {
  it("go back to a state that is given", () => {
    device.apply([device.folder("d", at(10)), device.file("f", at(11), "d")]);
    device.reconsider([
      { model: device.model("file"), record: "f", state: { births: [], death: at(50, 1), columns: new Map() } },
    ]);
    expect(device.rows().files).toEqual([]);
  });

  it("tell what a reference means where its row can't tell any more", () => {
    device.apply([device.folder("d", at(10)), device.folder("e", at(20), "d")]);
    device.db.exec("UPDATE folder SET parent_id = NULL");
    const lost = { column: device.model("folder").columnByName.get("parent_id")!, target: "d" };
    device.reconsider([{ model: device.model("folder"), record: "e", lost }]);
    expect(device.rows().folders).toContainEqual(["e", "folder e", "d"]);
  });

  it("write nothing where nothing differs", () => {
    device.apply([device.folder("d", at(10))]);
    const { writes } = device.applier;
    const { touched, models } = device.reconsider([{ model: device.model("folder"), record: "d" }]);
    expect([touched.size, models.size, device.applier.writes]).toEqual([0, 0, writes]);
  });
});

it("ends in the same tables whatever the order of the batches", () => {
  const stamps = fc.integer({ min: 10, max: 60 });
  const names = { folder: ["d", "e"], file: ["f", "g"] };
  const change = fc.oneof(
    fc.record({
      kind: fc.constant("folder" as const),
      record: fc.constantFrom(...names.folder),
      to: fc.option(fc.constantFrom(...names.folder)),
    }),
    fc.record({
      kind: fc.constant("file" as const),
      record: fc.constantFrom(...names.file),
      to: fc.constantFrom(...names.folder),
    }),
    fc.record({
      kind: fc.constant("move" as const),
      record: fc.constantFrom(...names.file),
      to: fc.constantFrom(...names.folder),
    }),
    fc.record({
      kind: fc.constant("death" as const),
      record: fc.constantFrom(...names.folder, ...names.file),
      to: fc.constant(null),
    }),
  );
  const list = fc.uniqueArray(fc.tuple(stamps, change), { minLength: 3, maxLength: 9, selector: ([hlc]) => hlc });
  const incoming = (
    of: Device,
    [hlc, { kind, record, to }]: [number, typeof change extends fc.Arbitrary<infer T> ? T : never],
  ) => {
    if (kind === "folder") return of.folder(record, at(hlc), to);
    if (kind === "file") return of.file(record, at(hlc), to);
    if (kind === "move") return of.edited("file", record, at(hlc), { folder_id: to });
    return of.died(names.folder.includes(record) ? "folder" : "file", record, at(hlc));
  };
  fc.assert(
    fc.property(list, fc.infiniteStream(fc.nat()), (changes, dice) => {
      const ends = [false, true].map((shuffled) => {
        const one = new Device();
        // An edit reaches a device together with, or after, what it edits.
        one.apply([
          ...names.folder.map((it) => one.folder(it, at(1))),
          ...names.file.map((it) => one.file(it, at(2), "d")),
        ]);
        const order = changes.map((it) => ({ it, key: shuffled ? (dice.next().value as number) : 0 }));
        for (const { it } of order.sort((a, b) => a.key - b.key)) one.apply([incoming(one, it)]);
        const { folders, files } = one.rows();
        one.db.close();
        return { folders, files };
      });
      expect(ends[1]).toEqual(ends[0]);
    }),
    { seed: 20261122, numRuns: 25 },
  );
});

describe("a record that comes together with the death of what it refers to", () => {
  beforeEach(
    () =>
      void device.apply([
        device.folder("d", at(10)),
        device.folder("e", at(10), "d"),
        device.file("f", at(11), "d", "old"),
        device.file("g", at(11), "d"),
        device.file("bystander", at(11), "d"),
      ]),
  );

  it.each([
    ["before it", true],
    ["after it", false],
  ])("is judged by it, told %s, though nothing was said of its reference", (_, first) => {
    const edits = [
      device.edited("file", "f", at(20), { name: "new" }),
      device.edited("folder", "e", at(20), { name: "new" }),
      device.died("file", "g", at(20)),
    ];
    const death = device.died("folder", "d", at(20));
    const { models } = device.apply(first ? [...edits, death] : [death, ...edits]);
    expect(device.rows()).toMatchObject({ folders: [["e", "new", null]], files: [] });
    expect(device.kinds()).toEqual([
      ["bystander", "hidden"],
      ["f", "hidden"],
    ]);
    // Who has only been drawn in is not counted.
    expect(models.get("file")).toEqual({ ...counts, applied: 1, parked: 1 });
    device.apply([device.folder("d", UNSTAMPED)]);
    expect(device.kinds()).toEqual([
      ["bystander", "hidden"],
      ["f", "hidden"],
    ]);
    device.apply([device.edited("file", "f", at(30), { folder_id: "e" })]);
    expect(device.rows().files).toEqual([["f", "new", 1, "e"]]);
  });
});

describe("a reference that is looked at again", () => {
  it("goes on to hold where it has held, though nobody remembers since when", () => {
    device.apply([device.folder("d", at(10)), device.file("f", at(11), "d")]);
    device.db.exec("DELETE FROM tidemark_stamp WHERE record = 'f'");
    device.reconsider([{ model: device.model("file"), record: "f" }]);
    expect(device.rows().files).toEqual([["f", null, 1, "d"]]);
  });

  it("goes on not to hold where it has not", () => {
    device.apply([device.folder("e", at(10), "d"), device.folder("d", at(50))]);
    device.reconsider([{ model: device.model("folder"), record: "e" }]);
    expect(device.rows().folders).toEqual([
      ["d", "folder d", null],
      ["e", "folder e", null],
    ]);
    expect(device.aside().waiting).toHaveLength(1);
  });
});

describe("a page of a backfill, whose server has forgotten everything up to some time,", () => {
  const taken = (records: readonly IncomingRecord[], settledTo: number) =>
    device.apply(records, { backfill: true, ties: "unstamped", settledTo });
  const files = () => device.rows().files.map(([uuid]) => uuid);
  beforeEach(() => void device.apply([device.folder("d", at(30))]));

  it("brings records without a stamp whose references hold there, if the server had forgotten since when", () => {
    taken([device.file("f", UNSTAMPED, "d")], 29);
    expect(files()).toEqual([]);
    taken([device.file("g", UNSTAMPED, "d")], 30);
    expect(files()).toEqual(["g"]);
  });

  it("says nothing of references that have a stamp", () => {
    taken([device.file("f", at(20), "d")], 30);
    expect(files()).toEqual([]);
    expect(device.kinds()).toEqual([["f", "hidden"]]);
  });

  it("says nothing of records that it does not bring", () => {
    taken([device.file("f", UNSTAMPED, "late")], 30);
    taken([device.folder("late", at(30))], 30);
    expect(files()).toEqual([]);
    taken([device.file("f", UNSTAMPED, "late")], 30);
    expect(files()).toEqual(["f"]);
  });
});

describe("another life of a record, told by who lacks one of its columns,", () => {
  const reborn = (birth: Stamp, death: Stamp): IncomingRecord => ({
    ...device.born("file", "f", birth, { name: "again", folder_id: "d" }),
    state: { births: [birth], death, columns: new Map() },
  });
  beforeEach(() => {
    device.apply([device.folder("d", at(1)), device.file("f", at(11), "d", "first")]);
  });

  it("leaves nothing of the first one in it", () => {
    device.apply([reborn(at(40), at(35))]);
    expect(device.rows().files).toEqual([["f", "again", 7, "d"]]);
  });

  it("does so also where both begin at one time", () => {
    device.apply([reborn(at(11, 3), at(11))]);
    expect(device.rows().files).toEqual([["f", "again", 7, "d"]]);
  });

  it("speaks of every column where the first one has not ended, too, whichever of them comes first", () => {
    device.apply([reborn(at(40), UNSTAMPED)]);
    expect(device.rows().files).toEqual([["f", "again", 7, "d"]]);
    device.apply([device.born("file", "g", at(40), { name: "another", folder_id: "d" })]);
    device.apply([device.file("g", at(11), "d", "first")]);
    expect(device.rows().files).toEqual([
      ["f", "again", 7, "d"],
      ["g", "another", 7, "d"],
    ]);
  });

  it("leaves what the table could read nothing instead of", () => {
    const again = device.born("file", "f", at(40), { name: "again", size: 3 });
    device.apply([{ ...again, state: { ...again.state, death: at(35) } }]);
    expect(device.rows().files).toEqual([["f", "again", 3, "d"]]);
  });

  it("keeps what was changed in it before it was heard of", () => {
    device.apply([device.edited("file", "f", at(50), { size: 3 })]);
    device.apply([reborn(at(40), at(35))]);
    expect(device.rows().files).toEqual([["f", "again", 3, "d"]]);
  });
});

it("speaks of every column of a device-owned record, whose row has one stamp: of one that it does not tell, that it is empty", () => {
  Object.assign(device.model("folder"), { ownership: { kind: "device", path: [] } });
  device.apply([device.folder("d", at(10)), device.folder("e", at(11), "d")]);
  const edit = (name: string, hlc: number) =>
    device.incoming("folder", "e", { births: [], death: UNSTAMPED, columns: new Map([[0, at(hlc)]]) }, { name });
  device.apply([edit("late", 5)]);
  expect(device.rows().folders).toContainEqual(["e", "folder e", "d"]);
  device.apply([edit("edited", 20)]);
  expect(device.rows().folders).toContainEqual(["e", "edited", null]);
});

it("forgets which late references have waited for what has come", () => {
  device.db.exec(
    "INSERT INTO tidemark_late (target_model, target, model, record) VALUES (1, 'd', 1, 'x'), (1, 'e', 1, 'x')",
  );
  device.apply([device.folder("d", at(10))]);
  expect(device.db.prepare("SELECT target FROM tidemark_late").pluck().all()).toEqual(["e"]);
});

describe("a record that carries no stamp any more", () => {
  beforeEach(() => {
    device.apply([
      device.folder("d", at(10)),
      device.file("f", at(11), "d", "here"),
      device.file("hidden", at(11), "missing", "there"),
      device.died("file", "f", at(12)),
      device.edited("file", "f", at(13), { name: "after the death" }),
    ]);
    device.db.exec("DELETE FROM tidemark_stamp");
  });

  it("lives on while its row is here, or is kept aside", () => {
    device.apply([
      device.edited("folder", "d", at(20), { name: "edited" }),
      device.edited("file", "hidden", at(20), { name: "edited" }),
    ]);
    expect(device.rows().folders).toEqual([["d", "edited", null]]);
    device.apply([device.folder("missing", UNSTAMPED)]);
    expect(device.rows().files).toEqual([["hidden", "edited", 1, "missing"]]);
  });

  it("is dead where nothing is left but edits that came after its death", () => {
    device.apply([device.edited("file", "f", at(20), { size: 2 })]);
    expect(device.rows().files).toEqual([]);
    expect(device.aside().stamps).toEqual([]);
  });
});

describe("values of equal stamps", () => {
  const damaged = () => {
    device.apply([device.folder("d", at(10)), device.file("f", at(11), "d", "right")]);
    device.db.exec("UPDATE file SET name = 'damaged'");
    return device.file("f", at(11), "d", "right");
  };

  it("are those that are here, unless the ones that came are to restore them", () => {
    const file = damaged();
    device.apply([file]);
    expect(device.rows().files[0]).toContain("damaged");
    expect(device.apply([file], { ties: "all" }).models.get("file")).toEqual({ ...counts, applied: 1 });
    expect(device.rows().files[0]).toContain("right");
  });
});

describe("columns that are not known here", () => {
  const COLUMN = 9;
  const edited = (hlc: number, extra: ReadonlyMap<number, WireValue>): IncomingRecord => ({
    ...device.edited("folder", "d", at(hlc), {}),
    state: { births: [], death: UNSTAMPED, columns: new Map([...extra.keys()].map((column) => [column, at(hlc)])) },
    extra,
  });
  const kept = () => device.aside().extra.map(([, , column, value]) => [column, value]);

  it("merge like all others, each by itself", () => {
    device.apply([{ ...device.folder("d", at(10)), extra: new Map([[COLUMN, "born with"]]) }]);
    device.apply([edited(30, new Map([[COLUMN, "later"]]))]);
    device.apply([
      edited(20, new Map([[COLUMN, "earlier"]])),
      edited(25, new Map([[COLUMN + 1, "another"]])),
      edited(26, new Map([[COLUMN + 2, "a third"]])),
    ]);
    expect(kept()).toEqual([
      [COLUMN, '"later"'],
      [COLUMN + 1, '"another"'],
      [COLUMN + 2, '"a third"'],
    ]);
  });
});

describe("a conflict", () => {
  const ME = 1;
  const met = (records: (of: Device) => readonly IncomingRecord[], options: Parameters<Device["apply"]>[1] = {}) =>
    device.apply(records(device), options).models.get("folder")?.conflicts;
  beforeEach(() => {
    device.apply([device.folder("d", at(10)), device.edited("folder", "d", at(20, ME), { name: "mine" })]);
  });

  it("is counted where a change loses to one that was made here", () => {
    expect(met((of) => [of.edited("folder", "d", at(15), { name: "theirs" })])).toBe(1);
    expect(met((of) => [of.edited("folder", "d", at(30), { name: "theirs" })])).toBe(0);
  });

  it("is counted where a change overrides one of which its maker had not heard", () => {
    const sender = (heard: number) => ({ sender: { member: 2, heard } });
    expect(met((of) => [of.edited("folder", "d", at(30), { name: "theirs" })], sender(20))).toBe(0);
    device.apply([device.edited("folder", "d", at(40, ME), { name: "mine" })]);
    expect(met((of) => [of.edited("folder", "d", at(50), { name: "theirs" })], sender(20))).toBe(1);
  });

  it("is none in a backfill", () => {
    expect(met((of) => [of.edited("folder", "d", at(15), { name: "theirs" })], { backfill: true })).toBe(0);
  });
});

describe("what is asked of the database", () => {
  const asked = (about: RegExp) => device.statements.splice(0).filter((sql) => about.test(sql));
  beforeEach(() => {
    device.apply([
      device.folder("d", at(10)),
      device.folder("e", at(10), "d"),
      device.file("f", at(11), "d"),
      device.file("waits", at(11), "missing"),
    ]);
    device.statements.length = 0;
  });

  it("of whoever refers to a record is nothing while its life and its place stay what they are", () => {
    device.apply([device.edited("folder", "d", at(20), { name: "edited" })]);
    expect(asked(/ FROM ("?file"?|"?link"?|tidemark_waiting WHERE target)/)).toEqual([]);
  });

  it("of those that wait is only who waits for a record that has come", () => {
    const waitersOf = /CROSS JOIN tidemark_waiting w ON w.target_model/;
    device.apply([device.edited("folder", "d", at(20), { name: "edited" }), device.died("file", "f", at(20))]);
    expect(asked(waitersOf)).toEqual([]);
    device.apply([device.folder("other", at(20))]);
    expect(asked(waitersOf)).toHaveLength(1);
  });

  it("of targets is at once what those refer to that have waited, and not what came refers to", () => {
    const wanted: unknown[] = [];
    const plain = new PlainLookup(device.reader);
    const lookup: TargetLookup = {
      expect: (_, models) => {
        for (const [model, records] of models) wanted.push([model.name, ...records]);
      },
      find: (db, model, identity) => plain.find(db, model, identity),
      changed() {},
    };
    device.apply([device.edited("file", "waits", at(20), { name: "edited" })], { lookup });
    device.apply(
      [device.link("waits", "d", at(30)), device.link("waits", "e", at(30)), device.link("f", "e", at(30))],
      { lookup },
    );
    expect(wanted).toEqual([]);
    device.apply([device.folder("missing", at(5), "d")], { lookup });
    // The links refer to folders besides the file that they have waited for.
    expect(wanted).toEqual([["folder", "d", "e"]]);
    expect(device.rows().links).toEqual([
      ["f", "e"],
      ["waits", "d"],
      ["waits", "e"],
    ]);
  });
});

it("passes over references of models that are registered no more", () => {
  device.db.exec("INSERT INTO tidemark_waiting VALUES (1, 'd', 99, 'x', 1)");
  device.apply([device.folder("d", at(10))]);
  expect(device.rows().folders).toHaveLength(1);
});

it("rebuilds trees after records were looked at again, too", () => {
  device.apply([device.folder("d", at(10)), device.folder("e", at(10), "d")]);
  device.trees.length = 0;
  device.reconsider([
    { model: device.model("folder"), record: "e", state: { births: [], death: at(20, 1), columns: new Map() } },
  ]);
  expect(device.trees).toEqual([["folder", ["e"]]]);
});

it("keeps a change aside as long as the schema refuses it, however often it is tried", () => {
  device.apply([
    device.folder("d", at(10)),
    device.file("f", at(11), "d", "taken"),
    device.file("g", at(11), "d", "g"),
  ]);
  device.apply([device.edited("file", "g", at(20), { name: "taken" })]);
  const before = device.aside();
  for (let turn = 0; turn < 2; turn++) {
    const { healed, anyQuarantined } = device.reconsider([{ model: device.model("file"), record: "g" }]);
    expect([healed, anyQuarantined]).toEqual([[], true]);
    expect(device.aside()).toEqual(before);
  }
  // What others change of it meanwhile is laid over it as well.
  device.apply([device.edited("file", "g", at(30), { size: 5 }), device.died("file", "f", at(30))]);
  expect(device.rows().files).toEqual([["g", "taken", 5, "d"]]);
  expect(device.aside()).toMatchObject({ parked: [] });
});
