import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { at, counts, Device } from "./apply.test-support.js";
import type { IncomingRecord } from "./incoming.js";
import { PlainLookup, type TargetLookup } from "./target-lookup.js";

// How rows get into their tables: in which order, how often, and what becomes of those that do not fit. What is to be in
// the tables in the end is the matter of `apply.test.ts`.

let device: Device;
beforeEach(() => {
  device = new Device();
  device.apply([
    device.folder("d", at(1)),
    device.folder("e", at(1)),
    ...["f", "g", "h"].map((record) => device.file(record, at(2), "d", record)),
  ]);
  device.written();
});
afterEach(() => {
  expect(device.db.pragma("foreign_key_check")).toEqual([]);
  device.db.close();
});

const renamed = (record: string, name: string, hlc = 30): IncomingRecord =>
  device.edited("file", record, at(hlc), { name });
const moved = (record: string, folder: string): IncomingRecord =>
  device.edited("file", record, at(30), { folder_id: folder });
const names = () => device.rows().files.map(([uuid, name]) => `${uuid}: ${name}`);
const touchedBy = (records: readonly IncomingRecord[]) =>
  [...device.apply(records).touched].flatMap(([model, rows]) => [...rows].map((row) => `${model.name} ${row}`)).sort();

describe("rows", () => {
  it("are written in an order in which each is written once, whatever the order in which they come", () => {
    device.apply([
      device.link("n", "z", at(33)),
      renamed("h", "other"),
      device.died("folder", "d", at(30)),
      device.file("n", at(32), "z"),
      device.folder("z", at(31)),
      device.died("file", "f", at(30)),
      device.died("file", "h", at(31)),
      moved("g", "e"),
    ]);
    expect(device.written()).toEqual([
      "UPDATE file",
      ...["DELETE file", "DELETE file", "DELETE folder"],
      ...["INSERT folder", "INSERT file", "INSERT link"],
    ]);
    expect(device.rows()).toMatchObject({
      files: [
        ["g", "g", 1, "e"],
        ["n", null, 1, "z"],
      ],
      links: [["n", "z"]],
    });
  });

  it("go after those that refer to them, whichever model comes first", () => {
    device.apply([device.died("folder", "d", at(30)), ...["f", "g", "h"].map((it) => device.died("file", it, at(30)))]);
    expect(device.written()).toEqual(["DELETE file", "DELETE file", "DELETE file", "DELETE folder"]);
  });

  it("come before those that move to them, where nothing goes", () => {
    device.apply([moved("f", "z"), device.folder("z", at(20))]);
    expect(device.written()).toEqual(["INSERT folder", "UPDATE file"]);
  });

  it("that are only edited are written when others have gone and come", () => {
    device.apply([renamed("f", "h"), device.file("n", at(20), "d"), device.died("file", "h", at(20))]);
    expect(device.written()).toEqual(["DELETE file", "INSERT file", "UPDATE file"]);
    expect(names()).toEqual(["f: h", "g: g", "n: null"]);
  });

  it("are tried again as long as that helps", () => {
    device.apply([device.file("n", at(20), "d", "f"), renamed("f", "g"), renamed("g", "free")]);
    expect(names()).toEqual(["f: g", "g: free", "h: h", "n: f"]);
    expect(device.kinds()).toEqual([]);
    // n, f, g; n, f; n.
    expect(device.written()).toHaveLength(6);
  });

  it("are not written again because another one is refused, nor is that one tried for ever", () => {
    device.apply([device.file("stuck", at(2), "d")]);
    device.db.exec("INSERT INTO outsider SELECT id FROM file WHERE uuid = 'h'");
    device.written();
    const touched = touchedBy([
      device.file("refused", at(20), "d", "f"),
      device.file("taken-in", at(20), "d"),
      renamed("f", "f", 31),
      renamed("stuck", "f"),
      moved("f", "e"),
      device.died("file", "g", at(20)),
      device.died("file", "h", at(20)),
    ]);
    expect(device.written()).toEqual([
      ...["UPDATE file", "DELETE file", "INSERT file", "INSERT file", "UPDATE file"],
      // Once more; h is not tried, because somebody holds it.
      ...["INSERT file", "UPDATE file"],
    ]);
    expect(device.kinds()).toEqual([
      ["h", "quarantined"],
      ["refused", "quarantined"],
      ["stuck", "quarantined"],
    ]);
    expect(touched).toEqual(["file f", "file g", "file taken-in"]);
  });

  it("of which one can't be reached for another reason than its values fail all of it", () => {
    device.db.function("broken", () => {
      throw new Error("the disk is broken");
    });
    device.db.exec("CREATE TRIGGER broken AFTER INSERT ON file BEGIN SELECT broken(); END");
    expect(() => device.apply([device.folder("z", at(20)), device.file("n", at(20), "d")])).toThrow("disk is broken");
    expect(device.rows().folders).toHaveLength(2);
  });

  it("tell whoever looks for targets that they have come or gone, but not of links, which nothing refers to", () => {
    const told: unknown[] = [];
    const plain = new PlainLookup(device.reader);
    const lookup: TargetLookup = {
      expect() {},
      find: (db, model, identity) => plain.find(db, model, identity),
      changed: (model, record, key) => void told.push([model.name, record, key]),
    };
    device.apply([device.died("file", "h", at(20)), device.file("n", at(20), "d"), device.link("n", "d", at(21))], {
      lookup,
    });
    expect(told).toEqual([
      ["file", "h", null],
      ["file", "n", 4n],
    ]);
  });

  it("keep what came together with what takes them out of their table", () => {
    device.apply([device.edited("file", "f", at(30), { name: null, size: 5, folder_id: "late" })]);
    expect(device.rows().files.map(([uuid]) => uuid)).toEqual(["g", "h"]);
    device.apply([device.folder("late", at(20))]);
    expect(device.rows().files[0]).toEqual(["f", null, 5, "late"]);
  });

  it("go back to their default where another life has taken their place, whose maker lacks the column", () => {
    const born = device.born("file", "f", at(40), { name: "again", folder_id: "d" });
    device.apply([{ ...born, state: { ...born.state, death: at(35) } }]);
    expect(device.rows().files[0]).toEqual(["f", "again", 7, "d"]);
    expect(device.written()).toEqual(["UPDATE file"]);
  });
});

describe("rows that exchange unique values", () => {
  it("let go of those, and of nothing else, before they are written", () => {
    const swapped = (record: string, name: string) =>
      device.edited("file", record, at(30), { name, size: 3, folder_id: "e" });
    expect(touchedBy([swapped("f", "g"), swapped("g", "f")])).toEqual(["file f", "file g"]);
    expect(device.rows().files).toEqual([
      ["f", "g", 3, "e"],
      ["g", "f", 3, "e"],
      ["h", "h", 1, "d"],
    ]);
    expect(device.kinds()).toEqual([]);
  });

  it("do so beside others that are refused, coming or changing", () => {
    const { models } = device.apply([
      renamed("f", "g"),
      renamed("g", "f"),
      device.file("n", at(20), "d", "h"),
      device.edited("file", "h", at(30), { size: -1 }),
      device.link("n", "d", at(21)),
    ]);
    expect(names()).toEqual(["f: g", "g: f", "h: h"]);
    expect(device.kinds()).toEqual([
      ["h", "quarantined"],
      ["n", "quarantined"],
      ["n d", "hidden"],
    ]);
    expect(models.get("file")).toEqual({ ...counts, applied: 2, quarantined: 2 });
  });

  it("move as well, though it took more than one try", () => {
    device.apply([
      device.edited("file", "f", at(30), { name: "g", folder_id: "e" }),
      renamed("g", "f"),
      device.edited("file", "h", at(30), { name: "other", size: -1 }),
    ]);
    expect(device.rows().files).toEqual([
      ["f", "g", 1, "e"],
      ["g", "f", 1, "d"],
      ["h", "h", 1, "d"],
    ]);
    // Once h fits, it is written, too.
    device.apply([device.edited("file", "h", at(40), { size: 9, folder_id: "e" })]);
    expect(device.rows().files.at(-1)).toEqual(["h", "other", 9, "e"]);
  });

  it("make room for others that have waited for it", () => {
    device.db.exec(`CREATE TRIGGER strict BEFORE INSERT ON file WHEN (SELECT name FROM file WHERE uuid = 'f') = 'f'
      BEGIN SELECT RAISE(ABORT, 'not yet'); END`);
    device.apply([renamed("f", "g"), renamed("g", "f"), device.file("n", at(20), "d", "n")]);
    expect(names()).toEqual(["f: g", "g: f", "h: h", "n: n"]);
    expect(device.kinds()).toEqual([]);
  });

  it("fail as a whole where something else goes wrong", () => {
    device.db.function("broken", () => {
      throw new Error("the disk is broken");
    });
    device.db.exec(
      "CREATE TRIGGER broken AFTER UPDATE ON file WHEN typeof(NEW.name) = 'blob' BEGIN SELECT broken(); END",
    );
    expect(() => device.apply([renamed("f", "g"), renamed("g", "f")])).toThrow("disk is broken");
    expect(names()).toEqual(["f: f", "g: g", "h: h"]);
  });
});
