import { isTidemarkError } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SyncModel, SyncRegistry } from "../registry/model.js";
import { handMadeRegistry } from "./models.test-support.js";
import { RecordReader } from "./record-reader.js";

const SCHEMA = `
  CREATE TABLE content (uuid TEXT PRIMARY KEY NOT NULL, hash BLOB);
  CREATE TABLE entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, name TEXT NOT NULL, size INTEGER,
    parent_id INTEGER REFERENCES entry (id), content TEXT REFERENCES content (uuid), anything, ratio REAL
  );
  CREATE INDEX entry_parent ON entry (parent_id);
  CREATE TABLE tag (id INTEGER PRIMARY KEY, "the uuid" TEXT NOT NULL UNIQUE, code TEXT NOT NULL UNIQUE);
  CREATE TABLE entry_tag (
    entry_id INTEGER NOT NULL REFERENCES entry (id), tag_code TEXT NOT NULL REFERENCES tag (code), note TEXT,
    PRIMARY KEY (entry_id, tag_code)
  );
  CREATE TABLE entry_content (
    content TEXT NOT NULL REFERENCES content (uuid), entry_id INTEGER NOT NULL REFERENCES entry (id),
    PRIMARY KEY (content, entry_id)
  );
`;

let db: Database.Database;
let registry: SyncRegistry;
let reader: RecordReader;
let entry: SyncModel;
let content: SyncModel;
let tag: SyncModel;
let entryTag: SyncModel;
let entryContent: SyncModel;

beforeEach(() => {
  db = new Database(":memory:");
  db.exec(SCHEMA);
  registry = handMadeRegistry(db, [
    { table: "content", identity: "uuid", columns: ["hash"] },
    {
      table: "entry",
      identity: "uuid",
      localKey: "id",
      columns: ["name", "size", "parent_id", "content", "anything", "ratio"],
      references: { parent_id: "entry", content: "content" },
    },
    { table: "tag", identity: "the uuid", localKey: "id", columns: ["code"] },
    {
      table: "entry_tag",
      identity: ["entry_id", "tag_code"],
      columns: ["note", "entry_id", "tag_code"],
      references: { entry_id: "entry", tag_code: "tag.code" },
    },
    {
      table: "entry_content",
      identity: ["content", "entry_id"],
      columns: ["content", "entry_id"],
      references: { content: "content", entry_id: "entry" },
    },
  ]);
  reader = new RecordReader({ registry });
  [content, entry, tag, entryTag, entryContent] = registry.models as [
    SyncModel,
    SyncModel,
    SyncModel,
    SyncModel,
    SyncModel,
  ];
});
afterEach(() => db.close());

function fill(): void {
  db.exec(`
    INSERT INTO content VALUES ('c1', x'00ff'), ('c2', NULL);
    INSERT INTO entry (id, uuid, name, size, parent_id, content, anything, ratio) VALUES
      (7, 'e-root', 'root', NULL, NULL, NULL, 1.0, 1),
      (3, 'e-kid', 'kid', 9007199254740993, 7, 'c1', 1, -0.5),
      (5, 'e-bad', CAST(x'6162ff' AS TEXT), 0, 7, 'c2', x'', 9e999),
      (9, 'e-fffd', 'x' || char(65533), 1, 3, NULL, CAST(x'ff' AS TEXT), 0);
    INSERT INTO tag VALUES (1, 't1', 'red'), (2, 't0', 'blue');
    INSERT INTO entry_tag VALUES (7, 'red', 'n'), (7, 'blue', NULL), (3, 'red', CAST(x'fe' AS TEXT)), (9, 'blue', '');
    INSERT INTO entry_content VALUES ('c1', 3), ('c1', 7), ('c2', 5);
  `);
}

describe("values by identity", () => {
  beforeEach(fill);

  it("come in the order of the columns, exact, with references as identities", () => {
    expect(reader.readByIdentity(db, entry, ["e-root", "e-kid", "e-bad", "e-fffd", "nobody", "e-kid"])).toEqual(
      new Map<string, unknown>([
        ["e-root", ["root", null, null, null, { r: 1 }, 1]],
        ["e-kid", ["kid", { i: "9007199254740993" }, "e-root", "c1", 1, -0.5]],
        ["e-bad", [{ t: "YWL/" }, 0, "e-root", "c2", { b: "" }, { r: "Infinity" }]],
        ["e-fffd", ["x\uFFFD", 1, "e-kid", null, { t: "/w==" }, 0]],
      ]),
    );
    expect(reader.readByIdentity(db, content, ["c1", "c2"])).toEqual(
      new Map<string, unknown>([
        ["c1", [{ b: "AP8=" }]],
        ["c2", [null]],
      ]),
    );
  });

  it("are found by identities that are derived from references, by key or by another unique column", () => {
    expect(reader.readByIdentity(db, entryTag, ["e-kid t1", "e-root t0", "e-kid t0", "e-kid", "", "a b c"])).toEqual(
      new Map<string, unknown>([
        ["e-kid t1", [{ t: "/g==" }, "e-kid", "t1"]],
        ["e-root t0", [null, "e-root", "t0"]],
      ]),
    );
    expect([...reader.readByIdentity(db, entryContent, ["c1 e-root", "c2 e-root"])]).toEqual([
      ["c1 e-root", ["c1", "e-root"]],
    ]);
  });

  it("read null for a reference that dangles", () => {
    db.pragma("foreign_keys = OFF");
    db.exec("UPDATE entry SET parent_id = 99 WHERE id = 3");
    expect(reader.readByIdentity(db, entry, ["e-kid"]).get("e-kid")?.[2]).toBeNull();
  });

  it("are found for identities with quotes, backslashes, U+FFFD and characters beyond the basic plane", () => {
    const identities = ["a\"b'c", "a", "\u{1F600}", "\\u0061", "x\uFFFDy", "[1]"];
    const insert = db.prepare("INSERT INTO content (uuid, hash) VALUES (?, ?)");
    for (const identity of identities) insert.run(identity, identity);
    const found = reader.readByIdentity(db, content, identities);
    expect(found).toEqual(new Map(identities.map((identity) => [identity, [identity]])));
  });

  it("are read in statements of bounded size, and none is lost between them", () => {
    const insert = db.prepare("INSERT INTO content (uuid) VALUES (?)");
    const identities = Array.from({ length: 10_001 }, (_, index) => `many-${index}`);
    db.transaction(() => {
      for (const identity of identities) insert.run(identity);
    })();
    expect([...reader.readByIdentity(db, content, identities).keys()].sort()).toEqual([...identities].sort());
  });
});

describe("pages", () => {
  beforeEach(fill);

  it("hold every record once, in the order of the identities' bytes, whatever the size of the page", () => {
    // UTF-16 order, which is JavaScript's, has these two the other way round.
    db.exec("INSERT INTO entry (uuid, name) VALUES ('\uFF5E', 'bmp'), ('\u{1F600}', 'astral')");
    const inOrder = ["e-bad", "e-fffd", "e-kid", "e-root", "\uFF5E", "\u{1F600}"];
    for (const limit of [1, 2, 3, 7, 100]) expect(allPages(entry, limit)).toEqual(inOrder);
  });

  it("order derived identities by their targets, one after the other", () => {
    for (const limit of [1, 2, 3, 100]) {
      expect(allPages(entryTag, limit)).toEqual(["e-fffd t0", "e-kid t1", "e-root t0", "e-root t1"]);
      expect(allPages(entryContent, limit)).toEqual(["c1 e-kid", "c1 e-root", "c2 e-bad"]);
    }
  });

  it("hold the same values as a look-up by identity", () => {
    for (const model of registry.models) {
      const { rows } = reader.readPage(db, model, { after: null, limit: 100 });
      expect(rows.length).toBe(reader.count(db, model));
      const found = reader.readByIdentity(
        db,
        model,
        rows.map((row) => row.identity),
      );
      expect(new Map(rows.map((row) => [row.identity, row.values]))).toEqual(found);
    }
  });

  it("end at a bound that is included", () => {
    const within = (model: SyncModel, after: string | null, upTo: string | null) =>
      reader.readPage(db, model, { after, upTo, limit: 100 }).rows.map((row) => row.identity);
    expect(within(entry, "e-bad", "e-kid")).toEqual(["e-fffd", "e-kid"]);
    expect(within(entry, null, "e-fffe")).toEqual(["e-bad", "e-fffd"]);
    expect(within(entryTag, "e-fffd t9", "e-root t0")).toEqual(["e-kid t1", "e-root t0"]);
    expect(reader.readPage(db, entry, { after: "z", limit: 5 })).toEqual({ rows: [], next: null });
  });

  it("can be counted off without being read", () => {
    const at = (nth: number, after: string | null = null, upTo: string | null = null) =>
      reader.identityAt(db, entry, { after, upTo, nth });
    const inOrder = allPages(entry, 100);
    inOrder.forEach((identity, index) => {
      expect(at(index + 1)).toBe(identity);
      expect(at(1, inOrder[index - 1] ?? null)).toBe(identity);
    });
    expect(at(inOrder.length + 1)).toBeNull();
    expect(at(2, "e-bad", "e-kid")).toBe("e-kid");
    expect(at(3, "e-bad", "e-kid")).toBeNull();
    const plan = db.prepare(
      "EXPLAIN QUERY PLAN SELECT m.uuid FROM entry AS m WHERE m.uuid > ? ORDER BY m.uuid LIMIT 1 OFFSET ?",
    );
    expect(plan.all("a", 1)).toMatchObject([{ detail: expect.stringContaining("COVERING INDEX") }]);
  });

  it("agree with a sort of everything, for any junction and any bounds", () => {
    const pairs = fc.uniqueArray(fc.tuple(fc.nat(3), fc.nat(3)), { selector: String });
    const names = ["a", "aa", "b", "\uFF5E", "\u{1F600}"];
    const bound = fc.option(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...names)), { nil: null });
    db.exec("DELETE FROM entry_content; DELETE FROM entry_tag; DELETE FROM entry; DELETE FROM content");
    names.forEach((name, index) => {
      db.prepare("INSERT INTO content (uuid) VALUES (?)").run(name);
      db.prepare("INSERT INTO entry (id, uuid, name) VALUES (?, ?, '')").run(10 - index, name);
    });
    const compare = (a: readonly string[], b: readonly string[]) =>
      Buffer.compare(Buffer.from(a[0]!), Buffer.from(b[0]!)) || Buffer.compare(Buffer.from(a[1]!), Buffer.from(b[1]!));
    fc.assert(
      fc.property(pairs, bound, bound, fc.integer({ min: 1, max: 6 }), (links, after, upTo, limit) => {
        db.exec("DELETE FROM entry_content");
        const insert = db.prepare("INSERT INTO entry_content VALUES (?, ?)");
        for (const [left, right] of links) insert.run(names[left], 10 - right);
        const expected = links
          .map(([left, right]) => [names[left]!, names[right]!])
          .filter((it) => (!after || compare(it, after) > 0) && (!upTo || compare(it, upTo) <= 0))
          .sort(compare)
          .slice(0, limit)
          .map((it) => it.join(" "));
        const bounds = { after: after?.join(" ") ?? null, upTo: upTo?.join(" ") ?? null };
        const page = reader.readPage(db, entryContent, { ...bounds, limit });
        expect(page.rows.map((row) => row.identity)).toEqual(expected);
        const nth = reader.identityAt(db, entryContent, { ...bounds, nth: limit });
        expect(nth).toBe(expected.length === limit ? expected[limit - 1] : null);
        const seen: string[] = [];
        const fewer = reader.everyIdentity(db, entryContent, bounds, (identity) => seen.push(identity) < limit);
        expect(fewer).toBe(expected.length < limit);
        expect(seen).toEqual(expected);
      }),
      { seed: 20261122, numRuns: 300 },
    );
  });

  it("leave out rows whose identity can't travel, and go on behind them", () => {
    db.prepare("INSERT INTO entry (uuid, name) VALUES ('e has blanks', 'x')").run();
    try {
      expect(allPages(entry, 3)).not.toContain("e has blanks");
      expect(allPages(entry, 3)).toEqual(allPages(entry, 100));
    } finally {
      db.prepare("DELETE FROM entry WHERE uuid = 'e has blanks'").run();
    }
  });

  it("refuse to go on after what is no identity of the model", () => {
    expect(() => reader.readPage(db, entryTag, { after: "e-kid", limit: 1 })).toThrow(
      expect.toSatisfy((error) => isTidemarkError(error, "TIDEMARK_STORAGE_NOT_AN_IDENTITY")),
    );
  });

  function allPages(model: SyncModel, limit: number): string[] {
    const identities: string[] = [];
    let after: string | null = null;
    for (;;) {
      const page = reader.readPage(db, model, { after, limit });
      identities.push(...page.rows.map((row) => row.identity));
      if (page.next === null) return identities;
      after = page.next;
    }
  }
});

describe("an identity that can't name its record elsewhere", () => {
  it.each([
    ["a blob", "x'61'"],
    ["text with invalid bytes", "CAST(x'61ff' AS TEXT)"],
    ["empty", "''"],
    ["text with a blank, which joins derived identities", "'a b'"],
    ["text with NUL", "'a' || char(0)"],
  ])("keeps its record out of pages, and reads null where it is referred to, when it is %s", (_name, literal) => {
    db.exec(`INSERT INTO content (uuid) VALUES (${literal}), ('c1')`);
    db.exec(`INSERT INTO entry (uuid, name, content) VALUES ('e', 'e', ${literal})`);
    expect(reader.readPage(db, content, { after: null, limit: 5 }).rows.map(({ identity }) => identity)).toEqual([
      "c1",
    ]);
    const at = entry.columns.findIndex(({ name }) => name === "content");
    expect(reader.readByIdentity(db, entry, ["e"]).get("e")![at]).toBeNull();
  });
});

describe("local keys", () => {
  beforeEach(fill);

  it("are found by identity, many or one at a time", () => {
    expect(reader.localKeys(db, entry, ["e-kid", "e-root", "nobody"])).toEqual(
      new Map([
        ["e-kid", 3],
        ["e-root", 7],
      ]),
    );
    expect(reader.localKeys(db, content, ["c2", "c3"])).toEqual(new Map([["c2", "c2"]]));
    expect(reader.localKeyOf(db, entry, "e-kid")).toBe(3);
    expect(reader.localKeyOf(db, entry, "nobody")).toBeNull();
    expect(reader.localKeyOf(db, content, "c1")).toBe("c1");
  });

  it("lead back to identities", () => {
    expect(reader.identitiesOf(db, entry, [3, 7n, 4])).toEqual(
      new Map([
        [3, "e-kid"],
        [7, "e-root"],
      ]),
    );
    expect(reader.identitiesOf(db, content, ["c1", 'c"9'])).toEqual(new Map([["c1", "c1"]]));
  });

  it("may stand in another column that a reference goes to", () => {
    expect(reader.localKeys(db, tag, ["t1"], "code")).toEqual(new Map([["t1", "red"]]));
    expect(reader.localKeyOf(db, tag, "t0", "code")).toBe("blue");
    expect(reader.identitiesOf(db, tag, ["blue"], "code")).toEqual(new Map([["blue", "t0"]]));
  });

  it("beyond 2^53 are exact", () => {
    db.exec("INSERT INTO entry (id, uuid, name) VALUES (9007199254740993, 'far', 'far')");
    expect(reader.localKeys(db, entry, ["far"]).get("far")).toBe(9007199254740993n);
    expect(reader.identitiesOf(db, entry, [9007199254740993n])).toEqual(new Map([[9007199254740993n, "far"]]));
  });
});

describe("the query plan", () => {
  beforeEach(fill);

  function plansOf(read: () => unknown): string[] {
    const spy = vi.spyOn(db, "prepare");
    read();
    const sql = spy.mock.calls.map(([text]) => text as string);
    spy.mockRestore();
    return sql.flatMap((text) => {
      // Named parameters are bound as an object, the one list of identities by position.
      const bound = text.includes(":limit") ? { limit: 1n, a0: "", a1: "", u0: "", u1: "" } : "[]";
      const rows = db.prepare(`EXPLAIN QUERY PLAN ${text}`).all(bound) as { readonly detail: string }[];
      return rows.map((row) => row.detail);
    });
  }

  it("searches by identity, and never scans the table", () => {
    for (const [model, record] of [
      [entry, "e-kid"],
      [content, "c1"],
      [entryTag, "e-root t0"],
      [entryContent, "c1 e-kid"],
    ] as const) {
      const plan = plansOf(() => new RecordReader({ registry }).readByIdentity(db, model, [record]));
      expect(plan.filter((step) => step.startsWith("SCAN"))).toEqual(["SCAN wanted VIRTUAL TABLE INDEX 1:"]);
      expect(plan.some((step) => step.startsWith("SEARCH m USING"))).toBe(true);
    }
  });

  it("searches for local keys and for identities", () => {
    for (const read of [
      () => reader.localKeys(db, entry, ["e-kid"]),
      () => reader.identitiesOf(db, entry, [3]),
      () => reader.identitiesOf(db, tag, ["red"], "code"),
    ]) {
      expect(plansOf(read).filter((step) => step.startsWith("SCAN"))).toEqual(["SCAN wanted VIRTUAL TABLE INDEX 1:"]);
    }
    expect(plansOf(() => reader.localKeyOf(db, entry, "e-kid"))).toEqual([
      "SEARCH entry USING COVERING INDEX sqlite_autoindex_entry_1 (uuid=?)",
    ]);
  });

  it("walks the index of the identities page by page, and sorts nothing", () => {
    const first = plansOf(() => reader.readPage(db, entry, { after: null, limit: 1 }));
    expect(first[0]).toBe("SCAN m USING INDEX sqlite_autoindex_entry_1");
    const next = plansOf(() => reader.readPage(db, entry, { after: "e", upTo: "f", limit: 1 }));
    expect(next[0]).toBe("SEARCH m USING INDEX sqlite_autoindex_entry_1 (uuid>? AND uuid<?)");
    expect([...first, ...next].filter((step) => step.includes("TEMP B-TREE"))).toEqual([]);
  });

  it("sorts a junction only within what one target has", () => {
    const plan = plansOf(() => reader.readPage(db, entryTag, { after: "e t", limit: 1 }));
    expect(plan[0]).toMatch(/^SEARCH r2 USING (COVERING )?INDEX sqlite_autoindex_entry_1 \(uuid>\?\)$/);
    expect(plan.filter((step) => step.includes("TEMP B-TREE"))).toEqual(["USE TEMP B-TREE FOR LAST TERM OF ORDER BY"]);
  });
});

it("reads no model that it was not made for", () => {
  const other = handMadeRegistry(db, [{ table: "content", identity: "uuid", columns: ["hash"] }]);
  expect(() => reader.count(db, entry)).not.toThrow();
  expect(() => reader.readPage(db, other.models[0]!, { after: null, limit: 1 })).toThrow("not one of this reader's");
});
