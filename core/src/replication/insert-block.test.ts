import type { WireValue } from "@tidemark/plugin-api";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SyncModel } from "../registry/model.js";
import type { LocalKey } from "../storage/row-writer.js";
import type { ApplyResult } from "./apply.js";
import { at, counts, Device } from "./apply.test-support.js";
import { NewcomersRefused } from "./newcomers-refused.js";
import type { SettledBlock } from "./settled-block.js";
import { PlainLookup } from "./target-lookup.js";
import type { WireColumn, WireDictionary } from "./wire-block.js";

let device: Device;
beforeEach(() => {
  device = new Device();
});
afterEach(() => {
  expect(device.db.pragma("foreign_key_check")).toEqual([]);
  device.db.close();
});

const several = <T>(make: (n: number) => T, count = 12): T[] => Array.from({ length: count }, (_, n) => make(n));
/** Ascending, as those of a block are. */
const named = (letter: string) => (n: number) => `${letter}${String(n).padStart(2, "0")}`;
const d = named("d");

function dictionary(all: readonly WireValue[]): WireDictionary {
  const values = [...new Set(all)].filter((value) => value !== null);
  return { values, at: all.map((value) => values.indexOf(value as string) + 1) };
}

/** Folders d00 to d11 with these parents. */
const folders =
  (parents: readonly (string | null)[], names: WireColumn = parents.map((_, n) => `folder ${n}`)) =>
  (of: Device): SettledBlock => ({
    model: of.model("folder"),
    identities: parents.map((_, n) => d(n)),
    columns: [names, dictionary(parents)],
  });

type Before = (of: Device) => void;

/** Applies a block in stretches, which end there, the short way, and expects the end to be that of the long way. */
function takenShort(
  block: (of: Device) => SettledBlock,
  { before = () => {}, ends }: { readonly before?: Before; readonly ends?: readonly number[] } = {},
): readonly number[] {
  const long = new Device();
  const [short, expected] = [device, long].map((of) => {
    before(of);
    const taken = block(of);
    const results: ApplyResult[] = [];
    let from = 0;
    for (const to of ends ?? [taken.identities.length]) {
      results.push(of.applyBlock(taken, from, to, of === device));
      from = to;
    }
    const told = results.map(({ models, touched }) => [[...models], touched.has(taken.model)]);
    return { results, end: { told, rows: of.rows(), aside: of.aside() } };
  });
  expect(short!.end).toEqual(expected!.end);
  long.db.close();
  return short!.results.map(({ inserted }) => inserted);
}

describe("a block of a backfill", () => {
  it("is inserted as it came, but for what is here or refers to what is not", () => {
    const parents = several((n) => (n === 7 ? "elsewhere" : n % 2 === 0 ? null : d(0)));
    const before: Before = (of) => of.apply([of.folder(d(3), at(5))]);
    expect(takenShort(folders(parents), { before, ends: [2, 12] })).toEqual([2, 8]);
  });

  it("of which all is known inserts nothing", () => {
    const block = folders(several(() => null))(device);
    device.applyBlock(block, 0, 12, true);
    const { models, touched, inserted } = device.applyBlock(block, 0, 12, true);
    expect([models.get("folder"), touched.get(device.model("folder"))?.size, inserted]).toEqual([
      { ...counts, applied: 12 },
      12,
      0,
    ]);
  });

  it("may refer to what comes later in the stretch, to itself, and to what came with the stretch before", () => {
    const parents = several((n) => (n < 4 ? d(3 - n) : n === 8 ? d(8) : n > 8 ? d(n - 8) : n < 7 ? d(n + 1) : null));
    expect(takenShort(folders(parents), { ends: [4, 12] })).toEqual([4, 8]);
  });

  it("leaves to the long way whoever refers, over others of the stretch too, to what is not here", () => {
    const parents = several((n) =>
      n === 0 ? "nowhere" : n === 11 ? "missing" : n > 5 ? d(n + 1) : n === 1 || n === 5 ? d(n - 1) : null,
    );
    expect(takenShort(folders(parents), { ends: [3, 12] })).toEqual([1, 3]);
  });

  it("leaves to the long way what refers to a life that has a stamp, and nothing else", () => {
    const before: Before = (of) => {
      of.apply([of.folder("old", at(5)), of.folder("young", at(50))]);
      of.db.exec("DELETE FROM tidemark_stamp WHERE record = 'old'");
    };
    const parents = several((n) => (n % 3 === 0 ? "old" : n % 3 === 1 ? "young" : null));
    expect(takenShort(folders(parents), { before })).toEqual([8]);
  });

  it.each([
    ["by itself", several((n): WireValue => (n === 4 || n === 9 ? { t: "Yf8=" } : `folder ${n}`))],
    ["again and again", { values: ["folder", { t: "Yf8=" }], at: several((n) => (n === 4 || n === 9 ? 2 : n % 2)) }],
  ])("leaves text that is not valid to the long way, whether it stands there %s", (_, names) => {
    expect(
      takenShort(
        folders(
          several(() => null),
          names,
        ),
        { ends: [6, 12] },
      ),
    ).toEqual([5, 5]);
  });

  it("takes the integer keys after those that are here, each row after what it refers to", () => {
    device.db.exec("INSERT INTO folder VALUES (40, 'here', 'here', NULL)");
    device.applyBlock(folders(several((n) => (n === 11 ? null : d(n + 1))))(device), 0, 12, true);
    const keys = device.db.prepare("SELECT uuid, id FROM folder ORDER BY id").raw().all();
    expect(keys).toEqual([["here", 40], ...several((n) => [d(11 - n), 41 + n])]);
  });

  it("takes integer keys beyond what a number keeps exactly", () => {
    const highest = 2n ** 53n;
    device.db.prepare("INSERT INTO folder VALUES (?, 'here', 'here', NULL)").run(highest);
    device.applyBlock(folders(several((n) => (n === 0 ? null : d(n - 1))))(device), 0, 12, true);
    const keys = device.db.prepare("SELECT id FROM folder ORDER BY id").pluck().safeIntegers().all();
    expect(keys).toEqual(several((n) => highest + BigInt(n), 13));
    expect(device.rows().folders.filter(([, , parent]) => parent === null)).toHaveLength(2);
  });

  it("brings values that repeat, of all kinds", () => {
    const values: readonly WireValue[] = ["8", null, { r: 2 }, 7, { b: "AP8=" }, "8", { i: "9007199254740993" }, 0.5];
    const notes = (of: Device): SettledBlock => ({
      model: of.model("note"),
      identities: several(named("n"), 8),
      columns: [dictionary(values), dictionary(several(() => null, 8)), dictionary(several(() => null, 8))],
    });
    expect(takenShort(notes)).toEqual([8]);
    expect(device.rows().notes[4]![1]).toEqual(Buffer.from([0, 255]));
  });

  it("refers by integer keys that stay integers, whatever the column is declared as", () => {
    const before: Before = (of) => {
      of.apply([of.folder("d", at(5)), of.file("f", at(6), "d")]);
      of.db.exec("DELETE FROM tidemark_stamp");
    };
    const inserted = takenShort(
      (of) => ({
        model: of.model("note"),
        identities: several(named("n")),
        columns: [
          several((n) => `note ${n}`),
          dictionary(several((n) => (n % 2 === 0 ? "d" : null))),
          dictionary(several((n) => (n % 3 === 0 ? "f" : null))),
        ],
      }),
      { before },
    );
    expect(inserted).toEqual([12]);
    const kinds = device.db
      .prepare("SELECT DISTINCT typeof(about), typeof(file_id) FROM note ORDER BY 1, 2")
      .raw()
      .all();
    expect(kinds).toEqual([
      ["integer", "integer"],
      ["integer", "null"],
      ["null", "integer"],
      ["null", "null"],
    ]);
  });

  it("refers by identities where the target is found by them", () => {
    const inserted = takenShort(
      (of) => ({
        model: of.model("partner"),
        identities: several(named("p")),
        columns: [dictionary(several((n) => (n === 11 ? "missing" : named("p")(n ^ 1))))],
      }),
      { ends: [6, 12] },
    );
    expect(inserted).toEqual([6, 4]);
  });

  it("tells of its rows where they may refer to each other, and nowhere else: a page holds one model", () => {
    const told: string[] = [];
    class Lookup extends PlainLookup {
      override changed(model?: SyncModel, identity?: string, key?: LocalKey | null): void {
        told.push(`${model?.name} ${identity} ${key}`);
      }
    }
    const lookup = new Lookup(device.reader);
    device.applyBlock(folders([null, d(0), "missing"])(device), 0, 2, true, lookup);
    const files: SettledBlock = {
      model: device.model("file"),
      identities: ["f", "g"],
      columns: [["f", "g"], [1, 1], dictionary([d(0), d(1)])],
    };
    expect(device.applyBlock(files, 0, 2, true, lookup).inserted).toBe(2);
    expect(told).toEqual([`folder ${d(0)} 1`, `folder ${d(1)} 2`]);
  });

  it("brings what late references have waited for, of which nothing is remembered then", () => {
    const { db } = device;
    const late = db.prepare("INSERT INTO tidemark_late (target_model, target, model, record) VALUES (?, ?, ?, 'n')");
    const [folder, note] = ["folder", "note"].map((name) => device.model(name).number);
    for (const target of [d(1), d(5), "elsewhere"]) late.run(folder, target, note);
    device.applyBlock(folders(several(() => null))(device), 0, 4, true);
    expect(db.prepare("SELECT target FROM tidemark_late ORDER BY target").pluck().all()).toEqual([d(5), "elsewhere"]);
  });

  it("asks for each target once", () => {
    device.apply([device.folder("d", at(5)), device.folder("e", at(5)), device.folder("unused", at(5))]);
    device.db.exec("DELETE FROM tidemark_stamp");
    device.statements.length = 0;
    const block: SettledBlock = {
      model: device.model("note"),
      identities: several(named("n")),
      columns: [
        several(() => "text"),
        dictionary([...several((n) => (n % 2 === 0 ? "d" : "e"), 11), "unused"]),
        dictionary(several(() => null)),
      ],
    };
    device.applyBlock(block, 0, 11, true);
    expect(device.statements.filter((sql) => sql.includes(`FROM "folder" WHERE "uuid" =`))).toHaveLength(2);
  });

  it("is refused as a whole when the schema refuses one of its rows", () => {
    device.apply([device.folder("d", at(5)), device.file("f", at(6), "d", "name 3")]);
    device.db.exec("DELETE FROM tidemark_stamp");
    const block: SettledBlock = {
      model: device.model("file"),
      identities: several(named("f")),
      columns: [several((n) => `name ${n}`), several((n) => n), dictionary(several(() => "d"))],
    };
    expect(() => device.applyBlock(block, 0, 12, true)).toThrow(NewcomersRefused);
    expect(device.rows().files).toHaveLength(1);
  });
});
