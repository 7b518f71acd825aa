import type { WireValue } from "@tidemark/plugin-api";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SyncModel } from "../registry/model.js";
import type { LocalKey } from "../storage/row-writer.js";
import type { ApplyOptions, ApplyResult } from "./apply.js";
import { at, counts, Device } from "./apply.test-support.js";
import type { IncomingRecord } from "./incoming.js";
import { NewcomersRefused } from "./newcomers-refused.js";
import { UNSTAMPED } from "./record-state.js";
import { PlainLookup } from "./target-lookup.js";

let device: Device;
beforeEach(() => {
  device = new Device();
});
afterEach(() => {
  expect(device.db.pragma("foreign_key_check")).toEqual([]);
  device.db.close();
});

type Batch = (of: Device) => readonly IncomingRecord[];

/** Applies the last batch the short way, where that is one, and expects the end to be that of the long way. */
function takenShort(...batches: readonly [...before: Batch[], last: Batch]): ApplyResult {
  const long = new Device();
  const results = [device, long].map((of) => {
    const last = batches.length - 1;
    for (const batch of batches.slice(0, last)) of.apply(batch(of));
    return of.apply(batches[last]!(of), { shortWay: of === device });
  }) as [ApplyResult, ApplyResult];
  const ends = [device, long].map((of) => ({ rows: of.rows(), aside: of.aside(), highWater: of.highWater }));
  expect(ends[0]).toEqual(ends[1]);
  const told = results.map(({ models, touched }) => ({
    models,
    touched: new Map([...touched].map(([model, records]) => [model.name, new Set(records)])),
  }));
  expect(told[0]).toEqual(told[1]);
  expect(results[1].inserted).toBe(0);
  long.db.close();
  return results[0];
}

const several = <T>(make: (n: number) => T, count = 12): T[] => Array.from({ length: count }, (_, n) => make(n));

describe("records of which nothing is here", () => {
  it("are inserted as they came, with their stamps", () => {
    const { inserted } = takenShort((of) => [
      ...several((n) => of.folder(`d${n}`, at(10 + n), n === 0 ? null : `d${n % 3}`)),
      ...several((n) => of.file(`f${n}`, at(30 + n), n === 5 ? "missing" : `d${n}`, `name ${n}`)),
      ...several((n) => of.note(`n${n}`, at(50 + n), `d${n}`, n % 2 === 0 ? null : "f1")),
      ...several((n) => of.partner(`p${n}`, at(70 + n), `p${n}`)),
    ]);
    // All but f5.
    expect(inserted).toBe(47);
    expect(device.highWater).toBe(81);
  });

  it("take the integer keys after those that are here, in the order in which they came", () => {
    device.db.exec("INSERT INTO folder VALUES (40, 'here', 'here', NULL)");
    device.apply(
      several((n) => device.folder(`d${n}`, at(10 + n))),
      { shortWay: true },
    );
    const keys = device.db.prepare("SELECT uuid, id FROM folder ORDER BY id").raw().all();
    expect(keys).toEqual([["here", 40], ...several((n) => [`d${n}`, 41 + n])]);
  });

  it("are inserted after what they refer to in their own table", () => {
    device.db.exec(`CREATE TABLE placed (uuid TEXT);
      CREATE TRIGGER place AFTER INSERT ON folder BEGIN INSERT INTO placed VALUES (NEW.uuid); END`);
    device.apply(
      several((n) => device.folder(`d${n}`, at(60 - n), n === 11 ? null : `d${n + 1}`)),
      { shortWay: true },
    );
    expect(device.db.prepare("SELECT uuid FROM placed ORDER BY rowid").pluck().all()).toEqual(
      several((n) => `d${11 - n}`),
    );
  });

  it("are inserted model by model, what is referred to first", () => {
    device.statements.length = 0;
    device.apply(
      [
        ...several((n) => device.note(`n${n}`, at(30), `d${n}`)),
        ...several((n) => device.file(`f${n}`, at(20), `d${n}`)),
        ...several((n) => device.folder(`d${n}`, at(10))),
      ],
      { shortWay: true },
    );
    expect([...new Set(device.written())]).toEqual(["INSERT folder", "INSERT file", "INSERT note"]);
  });

  it("go the long way where they are few", () => {
    const few: Batch = (of) => several((n) => of.folder(`d${n}`, at(10)), 7);
    expect(takenShort(few).inserted).toBe(0);
    expect(takenShort(few, (of) => several((n) => of.folder(`e${n}`, at(20)), 8)).inserted).toBe(8);
  });

  it("are told to whoever looks for targets, if anything can refer to them", () => {
    const told: string[] = [];
    class Lookup extends PlainLookup {
      override changed(model?: SyncModel, identity?: string, key?: LocalKey | null): void {
        told.push(`${model?.name} ${identity} ${key}`);
      }
    }
    device.apply(
      [...several((n) => device.note(`n${n}`, at(20), null)), ...several((n) => device.folder(`d${n}`, at(10)))],
      { shortWay: true, lookup: new Lookup(device.reader) },
    );
    expect(told).toEqual(several((n) => `folder d${n} ${n + 1}`));
  });

  it("look each target up once, however often it is asked whether they can come", () => {
    device.apply([device.folder("d", at(5))]);
    const lookup = new PlainLookup(device.reader);
    // The last one can't come; so all are asked again, until nothing changes any more.
    const parents = (n: number) => (n === 11 ? "missing" : n === 10 ? "n11" : "d");
    const { inserted } = device.apply(
      several((n) => device.folder(`n${n}`, at(60 - n), parents(n))),
      { shortWay: true, lookup },
    );
    expect(inserted).toBe(10);
    expect(lookup.lookups).toBeLessThanOrEqual(15);
  });

  it("bring all kinds of values, in the form in which the table takes them", () => {
    const values: WireValue[] = ["text", null, 7, { r: 2 }, { i: "9007199254740993" }, { b: "AP8=" }, "8", 0.5];
    const { inserted } = takenShort((of) => [
      ...several((n) => of.folder(`d${n}`, at(10)), 8),
      ...values.map((text, n) => of.born("note", `n${n}`, at(20), { text, about: `d${n}`, file_id: null })),
    ]);
    expect(inserted).toBe(16);
  });
});

describe("the long way is left", () => {
  it("what something is known of: a row, stamps, or who waits for it", () => {
    const { inserted } = takenShort(
      (of) => [
        of.folder("d0", at(5)),
        of.folder("d1", at(5)),
        of.died("folder", "d1", at(40)),
        of.file("f", at(6), "d2"),
      ],
      (of) => several((n) => of.folder(`d${n}`, at(20 + n))),
    );
    expect(inserted).toBe(9);
    expect(device.rows().folders.map(([uuid]) => uuid)).not.toContain("d1");
  });

  it("everything, where all of it is known", () => {
    const batch: Batch = (of) => several((n) => of.folder(`d${n}`, at(20 + n)));
    const { inserted, touched } = takenShort(batch, batch);
    expect([inserted, touched.size, device.applier.writes]).toEqual([0, 0, 1]);
  });

  it("edits, deletions and lives that are over", () => {
    const { inserted } = takenShort(
      (of) => [of.folder("d", at(5)), of.folder("e", at(5))],
      (of) => [
        ...several((n) => of.folder(`d${n}`, at(10))),
        of.edited("folder", "d", at(30), { name: "edited" }),
        of.edited("folder", "gone", at(30), { name: "edited", parent_id: null }),
        of.died("folder", "e", at(30)),
        of.incoming(
          "folder",
          "over",
          { births: [at(10)], death: at(15), columns: new Map() },
          { name: "x", parent_id: null },
        ),
      ],
    );
    expect(inserted).toBe(12);
  });

  it("what a batch tells for the second time", () => {
    const { inserted } = device.apply(
      [...several((n) => device.folder(`d${n}`, at(10))), device.edited("folder", "d3", at(30), { name: "second" })],
      { shortWay: true },
    );
    const again = device.apply(
      [...several((n) => device.folder(`e${n}`, at(10))), device.born("folder", "e3", at(30), { name: "second" })],
      { shortWay: true },
    );
    expect([inserted, again.inserted]).toEqual([12, 12]);
    expect(device.rows().folders.filter(([, name]) => name === "second")).toHaveLength(2);
  });

  it("what comes in parts, with columns that are not known here, or with text that is not valid", () => {
    const birth = { births: [at(10)], death: UNSTAMPED, columns: new Map() };
    const { inserted } = takenShort((of) => [
      ...several((n) => of.folder(`d${n}`, at(10))),
      of.incoming("folder", "part", birth, { parent_id: null }),
      { ...of.folder("extra", at(10)), extra: new Map([[99, "kept"]]) },
      of.born("folder", "raw", at(10), { name: { t: "Yf8=" }, parent_id: null }),
    ]);
    expect(inserted).toBe(12);
    expect(device.aside().extra).toHaveLength(1);
  });

  it("what refers to a life younger than the reference, here or among the newcomers", () => {
    const { inserted } = takenShort(
      (of) => [of.folder("old", at(5)), of.folder("young", at(50)), of.file("f", at(6), "old")],
      (of) => [
        ...several((n) => of.folder(`d${n}`, at(n === 7 ? 60 : 10))),
        ...several((n) => of.note(`n${n}`, at(20), ["old", "young", "d6", "d7"][n % 4]!, "f")),
      ],
    );
    expect(inserted).toBe(18);
    const told = device.rows().notes.map(([, , about, , file]) => `${about} ${file}`);
    expect(new Set(told)).toEqual(new Set(["old f", "d6 f", "null f"]));
  });

  it("what refers to what is not here, and whoever refers to that, but not what refers to itself", () => {
    const { inserted } = takenShort((of) => [
      of.folder("c1", at(40), "c2"),
      of.folder("c2", at(30), "c3"),
      of.folder("c3", at(20), "missing"),
      of.folder("self", at(20), "self"),
      ...several((n) => of.folder(`d${n}`, at(10))),
      ...several((n) => of.file(`f${n}`, at(50), n === 0 ? "c1" : "self")),
    ]);
    expect(inserted).toBe(13 + 11);
  });

  it("junctions, whose identities are made of those of others", () => {
    const { inserted } = takenShort((of) => [
      ...several((n) => of.folder(`d${n}`, at(10))),
      ...several((n) => of.file(`f${n}`, at(20), `d${n}`)),
      ...several((n) => of.link(`f${n}`, `d${n}`, at(30))),
    ]);
    expect(inserted).toBe(24);
    expect(device.rows().links).toHaveLength(12);
  });

  it("what a transform withholds", () => {
    const withheld: ApplyOptions["withheld"] = ({ record }) =>
      record === "d3" ? { kind: "deferred", reason: "because" } : null;
    const folders = several((n) => device.folder(`d${n}`, at(10 + n)));
    const { models, inserted } = device.apply(folders, { shortWay: true, withheld });
    expect(models.get("folder")).toEqual({ ...counts, applied: 11, deferred: 1 });
    expect(inserted).toBe(11);
    expect(device.rows().folders.map(([uuid]) => uuid)).not.toContain("d3");
  });

  it("what is left over from a member whose removal is settled, which is stamped anew", () => {
    device.db.exec(
      "UPDATE tidemark_member SET removed_kind = 'removed', removed_hlc = 9, removed_by = 'origin-1', settled_hlc = 15 WHERE num = 3",
    );
    device.members.load(device.db);
    device.apply(
      several((n) => device.folder(`d${n}`, at(10 + n, 3))),
      { shortWay: true },
    );
    const origins = device.aside().stamps.map(([, , , , origin]) => Number(origin));
    expect(origins.sort()).toEqual([1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3]);
    expect(device.rows().folders).toHaveLength(12);
  });
});

it("is refused as a whole when the schema refuses one of the newcomers", () => {
  device.apply([device.folder("d", at(5)), device.file("f", at(10), "d", "name 3")]);
  const files = several((n) => device.file(`f${n}`, at(30 + n), "d", `name ${n}`));
  expect(() => device.apply(files, { shortWay: true })).toThrow(NewcomersRefused);
  expect(device.rows().files).toHaveLength(1);
});

it("ends as the long way does, whatever is here and whatever comes", () => {
  const place = fc.integer({ min: 0, max: 25 });
  const time = fc.integer({ min: 1, max: 40 });
  const change = fc.record({
    kind: fc.constantFrom("folder", "folder", "file", "file", "note", "partner", "move", "end"),
    n: place,
    to: place,
    origin: fc.constantFrom(2, 3),
    born: time,
    /** When its last column was set, if not then. */
    later: fc.option(time, { freq: 4 }),
  });
  type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;
  const made = (of: Device, { kind, n, to, origin, born }: Change): IncomingRecord => {
    const stamp = at(born, origin);
    if (kind === "folder") return of.folder(`d${n}`, stamp, to % 3 === 0 ? null : `d${to}`);
    if (kind === "file") return of.file(`f${n}`, stamp, `d${to}`);
    if (kind === "note") return of.note(`n${n}`, stamp, `d${to}`, to % 3 === 0 ? null : `f${to}`);
    if (kind === "partner") return of.partner(`p${n}`, stamp, `p${to}`);
    return kind === "move"
      ? of.edited("file", `f${n}`, stamp, { folder_id: `d${to}` })
      : of.died("folder", `d${n}`, stamp);
  };
  const incoming = (of: Device, change: Change): IncomingRecord => {
    const record = made(of, change);
    const { births } = record.state;
    if (change.later === null || births.length === 0) return record;
    const columns = new Map([[record.model.columns.length, at(Math.max(change.born, change.later), change.origin)]]);
    return { ...record, state: { births, death: UNSTAMPED, columns } };
  };
  const recordOf = ({ kind, n }: Change) => `${kind === "move" ? "file" : kind === "end" ? "folder" : kind} ${n}`;
  const batch = (maxLength: number) => fc.uniqueArray(change, { maxLength, selector: recordOf, size: "max" });
  let inserted = 0;
  fc.assert(
    fc.property(batch(12), batch(90), fc.boolean(), (before, after, backfill) => {
      const ends = [true, false].map((shortWay) => {
        const one = new Device();
        one.apply(before.map((it) => incoming(one, it)));
        const options = { shortWay, backfill, ties: backfill ? "unstamped" : "none" } as const;
        inserted += one.apply(
          after.map((it) => incoming(one, it)),
          options,
        ).inserted;
        const end = { rows: one.rows(), aside: one.aside(), highWater: one.highWater };
        one.db.close();
        return end;
      });
      expect(ends[0]).toEqual(ends[1]);
    }),
    { seed: 20261130, numRuns: 25 },
  );
  expect(inserted).toBeGreaterThan(100);
});
