import type { WireValue } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SyncModel, SyncRegistry } from "../registry/model.js";
import { LogTransaction } from "../storage/log-transaction.js";
import { Members } from "../storage/members.js";
import { handMadeRegistry } from "../storage/models.test-support.js";
import { RecordReader } from "../storage/record-reader.js";
import { migrateSyncTables } from "../storage/schema.js";
import { Applier, type ApplyOptions, type ApplyResult, type Reconsidered } from "./apply.js";
import type { IncomingRecord } from "./incoming.js";
import { NewcomersRefused } from "./newcomers-refused.js";
import { diedLocally, type RecordState, type Stamp, UNSTAMPED } from "./record-state.js";
import { PlainLookup } from "./target-lookup.js";

/** One device: its tables, its log, and what merges into both. */
class Device {
  readonly db = new Database(":memory:");
  readonly registry: SyncRegistry;
  readonly members = new Members();
  readonly applier: Applier;
  readonly trees: [string, string[]][] = [];
  readonly #reader: RecordReader;

  constructor() {
    this.db.pragma("foreign_keys = ON");
    this.db.exec(`
      CREATE TABLE folder (
        id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT, parent_id INTEGER REFERENCES folder (id)
      );
      CREATE TABLE file (
        id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT UNIQUE, size INTEGER DEFAULT 7 CHECK (size >= 0),
        folder_id INTEGER NOT NULL REFERENCES folder (id) ON DELETE RESTRICT
      );
      CREATE TABLE link (
        file_id INTEGER NOT NULL REFERENCES file (id), folder_id INTEGER NOT NULL REFERENCES folder (id),
        PRIMARY KEY (file_id, folder_id)
      );
      CREATE TABLE partner (
        uuid TEXT PRIMARY KEY NOT NULL, other TEXT NOT NULL REFERENCES partner (uuid) DEFERRABLE INITIALLY DEFERRED
      );
      CREATE TABLE outsider (file_id INTEGER REFERENCES file (id));
    `);
    this.registry = handMadeRegistry(this.db, [
      {
        table: "folder",
        identity: "uuid",
        localKey: "id",
        columns: ["name", "parent_id"],
        references: { parent_id: "folder" },
      },
      {
        table: "file",
        identity: "uuid",
        localKey: "id",
        columns: ["name", "size", "folder_id"],
        references: { folder_id: "folder" },
      },
      {
        table: "link",
        identity: ["file_id", "folder_id"],
        columns: ["file_id", "folder_id"],
        references: { file_id: "file", folder_id: "folder" },
      },
      { table: "partner", identity: "uuid", columns: ["other"], references: { other: "partner" } },
    ]);
    for (const model of this.registry.models) {
      const referencedBy = this.registry.models.flatMap((other) =>
        other.references.filter((it) => it.reference!.target === model).map((column) => ({ model: other, column })),
      );
      Object.assign(model, {
        referencedBy,
        level: ["folder", "file", "link"].indexOf(model.name),
        uniqueKeys: model.name === "file" ? [["name"]] : [],
        tree: model.name === "folder" ? {} : null,
      });
    }
    migrateSyncTables({ db: this.db, logId: "log" });
    this.db.exec(`
      INSERT INTO tidemark_member (num, origin, device, name, join_hlc)
        VALUES (1, 'origin-1', 'a', 'a', 1), (2, 'origin-2', 'b', 'b', 1), (3, 'origin-3', 'c', 'c', 1);
      UPDATE tidemark_state SET self = 1, ready = 1;
    `);
    this.members.load(this.db);
    this.#reader = new RecordReader({ registry: this.registry });
    this.applier = new Applier({
      registry: this.registry,
      reader: this.#reader,
      members: this.members,
      now: () => 5_000,
      rebuildTree: (_, model, changed) => void this.trees.push([model.name, [...changed].sort()]),
    });
  }

  model(name: string): SyncModel {
    return this.registry.byName.get(name)!;
  }

  apply(records: readonly IncomingRecord[], options: Partial<ApplyOptions> = {}): ApplyResult {
    return this.#inTransaction((tx, lookup) =>
      this.applier.apply({
        ...{ tx, records, lookup, backfill: false, shortWay: false, ties: "none", forgotten: 0, settledTo: 0 },
        ...options,
      }),
    );
  }

  reconsider(records: readonly Reconsidered[]): ApplyResult {
    return this.#inTransaction((tx, lookup) => this.applier.reconsider({ tx, records, lookup }));
  }

  #inTransaction<T>(body: (tx: LogTransaction, lookup: PlainLookup) => T): T {
    return this.db.transaction(() => {
      const tx = new LogTransaction(this.db, () => 0);
      const result = body(tx, new PlainLookup(this.#reader));
      tx.save();
      return result;
    })();
  }

  /** The tables by identity, as people see them. */
  rows() {
    const all = (sql: string) => this.db.prepare(sql).raw().all() as string[][];
    return {
      folders: all(
        "SELECT f.uuid, f.name, p.uuid FROM folder f LEFT JOIN folder p ON p.id = f.parent_id ORDER BY f.uuid",
      ),
      files: all(
        "SELECT f.uuid, f.name, f.size, d.uuid FROM file f JOIN folder d ON d.id = f.folder_id ORDER BY f.uuid",
      ),
      links: all(
        "SELECT f.uuid, d.uuid FROM link l JOIN file f ON f.id = l.file_id JOIN folder d ON d.id = l.folder_id ORDER BY 1, 2",
      ),
      partners: all("SELECT uuid, other FROM partner ORDER BY uuid"),
    };
  }

  /** What is kept beside the tables. */
  aside() {
    const all = (sql: string) => this.db.prepare(sql).raw().all() as string[][];
    return {
      parked: all("SELECT model, record, kind, vals FROM tidemark_parked ORDER BY model, record"),
      waiting: all("SELECT model, record, col, target FROM tidemark_waiting ORDER BY model, record, col"),
      stamps: all(
        "SELECT model, record, col, hlc, origin, prior_hlc, prior_origin, age FROM tidemark_stamp ORDER BY 1, 2, 3",
      ),
      extra: all("SELECT model, record, col, val FROM tidemark_extra ORDER BY 1, 2, 3"),
    };
  }

  kinds(): unknown {
    return this.db.prepare("SELECT record, kind FROM tidemark_parked ORDER BY record").raw().all();
  }

  get highWater(): unknown {
    return this.db.prepare("SELECT hlc FROM tidemark_state").pluck().get();
  }

  incoming(model: string, record: string, state: RecordState, values: Readonly<Record<string, WireValue>> = {}) {
    const of = this.model(model);
    return { model: of, record, state, values: of.columns.map(({ name }) => values[name]), extra: null };
  }

  born(model: string, record: string, at: Stamp, values: Readonly<Record<string, WireValue>>): IncomingRecord {
    return this.incoming(model, record, { births: [at], death: UNSTAMPED, columns: new Map() }, values);
  }

  died(model: string, record: string, at: Stamp): IncomingRecord {
    return this.incoming(model, record, diedLocally(at));
  }

  edited(model: string, record: string, at: Stamp, values: Readonly<Record<string, WireValue>>): IncomingRecord {
    const columns = new Map(Object.keys(values).map((name) => [this.model(model).columnByName.get(name)!.number, at]));
    return this.incoming(model, record, { births: [], death: UNSTAMPED, columns }, values);
  }

  folder(record: string, at: Stamp, parent: string | null = null): IncomingRecord {
    return this.born("folder", record, at, { name: `folder ${record}`, parent_id: parent });
  }

  file(record: string, at: Stamp, folder: string, name: string | null = null): IncomingRecord {
    return this.born("file", record, at, { name, size: 1, folder_id: folder });
  }

  link(file: string, folder: string, at: Stamp): IncomingRecord {
    return this.born("link", `${file} ${folder}`, at, { file_id: file, folder_id: folder });
  }
}

const at = (hlc: number, origin = 2): Stamp => ({ hlc, origin });
const counts = { applied: 0, superseded: 0, parked: 0, quarantined: 0, rejected: 0, deferred: 0, conflicts: 0 };

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

describe("a batch of newcomers", () => {
  const library = (of: Device): IncomingRecord[] => [
    ...Array.from({ length: 12 }, (_, n) => of.folder(`d${n}`, at(10 + n), n === 0 ? null : `d${n % 3}`)),
    ...Array.from({ length: 12 }, (_, n) => of.file(`f${n}`, at(30 + n), n === 5 ? "missing" : `d${n}`, `name ${n}`)),
  ];

  it("ends in the same rows and stamps the short way as the long way", () => {
    const long = new Device();
    const told = [long, device].map((it, index) => it.apply(library(it), { shortWay: index === 1 }).models);
    expect(device.rows()).toEqual(long.rows());
    expect(device.aside()).toEqual(long.aside());
    expect(told[1]).toEqual(told[0]);
    expect(device.highWater).toBe(long.highWater);
    long.db.close();
  });

  it("refuses the short way when the schema refuses one of them", () => {
    device.apply([device.folder("d", at(5)), device.file("f", at(10), "d", "name 3")]);
    expect(() => device.apply(library(device), { shortWay: true })).toThrow(NewcomersRefused);
    expect(device.rows().files).toHaveLength(1);
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
