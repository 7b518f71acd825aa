import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { digestModel, digestRange } from "./digest.js";
import { type HandMadeModel, handMadeRegistry } from "./models.test-support.js";
import { RecordReader } from "./record-reader.js";

const clock = new ManualClock();
const open: Database.Database[] = [];
afterEach(() => {
  for (const db of open.splice(0)) db.close();
});

function database(path = ":memory:"): Database.Database {
  const db = new Database(path);
  open.push(db);
  return db;
}

function models(db: Database.Database, definitions: readonly HandMadeModel[]) {
  const registry = handMadeRegistry(db, definitions);
  const reader = new RecordReader({ registry });
  return (name: string) => ({ db, model: registry.byName.get(name)!, reader, clock });
}

/** A tree of notes with any columns, in the way that one device keeps it. */
function notes(db: Database.Database) {
  db.exec(`CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, text TEXT, any_value,
           parent_id INTEGER REFERENCES note (id))`);
  const definition: HandMadeModel = {
    table: "note",
    identity: "uuid",
    localKey: "id",
    columns: ["text", "any_value", "parent_id"],
    names: { any_value: "anything", parent_id: "parent" },
    references: { parent_id: "note" },
  };
  return models(db, [definition])("note");
}

describe("the digest of a model", () => {
  it("is SHA-256 of its names and of its records in wire form, both in order", async () => {
    const db = database();
    const it = notes(db);
    db.exec("INSERT INTO note VALUES (1, 'b', 'text', 1.0, NULL), (2, 'a', NULL, x'ff', 1)");
    const expected = '["note","anything","parent","text"],["a",{"b":"/w=="},"b",null],["b",{"r":1},null,"text"]';
    expect(await digestModel(it)).toEqual({
      model: "note",
      rows: 2,
      digest: createHash("sha256").update(expected).digest("hex"),
    });
  });

  it("is the same on two devices that differ in everything local", async () => {
    const here = database();
    const one = notes(here);
    here.exec("INSERT INTO note VALUES (1, 'a', 'x', 5, NULL), (2, 'b', 'y', 6, 1), (3, 'c', 'z', NULL, 1)");
    const there = database();
    there.exec(
      `CREATE TABLE "Notiz" (parent TEXT, anything, "local only" INTEGER, text TEXT, uuid TEXT NOT NULL UNIQUE)`,
    );
    there.exec("INSERT INTO Notiz VALUES ('a', NULL, 7, 'z', 'c'), (NULL, 5, 8, 'x', 'a'), ('a', 6, 9, 'y', 'b')");
    const other = models(there, [
      {
        table: "Notiz",
        name: "note",
        identity: "uuid",
        columns: ["parent", "anything", "text"],
        references: { parent: "Notiz" },
      },
    ])("note");
    expect(await digestModel(other)).toEqual(await digestModel(one));
  });

  it("differs whenever a value differs", async () => {
    const db = database();
    const it = notes(db);
    db.exec("INSERT INTO note (id, uuid) VALUES (1, 'a')");
    const values = [
      "NULL",
      "''",
      "'NULL'",
      "1",
      "1.0",
      "'1'",
      "x'31'",
      "9007199254740993",
      "9007199254740992",
      "char(65533)",
    ];
    values.push("CAST(x'ff' AS TEXT)", "CAST(x'fe' AS TEXT)", "9e999", "'Infinity'", "'{\"r\":1}'", "'a,b'");
    const digests = new Set<string>();
    for (const value of values) {
      db.exec(`UPDATE note SET any_value = ${value}`);
      digests.add((await digestModel(it)).digest);
    }
    expect(digests.size).toBe(values.length);
  });

  it("differs when a record, a reference or the place of a value does", async () => {
    const db = database();
    const it = notes(db);
    const digests = new Set<string>();
    for (const change of [
      "INSERT INTO note (id, uuid) VALUES (1, 'a')",
      "INSERT INTO note (id, uuid) VALUES (2, 'b')",
      "UPDATE note SET parent_id = 1 WHERE id = 2",
      "UPDATE note SET parent_id = 2 WHERE id = 2",
      "UPDATE note SET text = 'x' WHERE id = 1",
      "UPDATE note SET text = NULL, any_value = 'x' WHERE id = 1",
      "UPDATE note SET any_value = NULL; UPDATE note SET any_value = 'x' WHERE id = 2",
      "UPDATE note SET uuid = 'c' WHERE id = 2",
    ]) {
      db.exec(change);
      digests.add((await digestModel(it)).digest);
    }
    expect(digests.size).toBe(8);
  });

  it("covers junctions, whose identity is derived", async () => {
    const digests: string[] = [];
    for (const [a, b] of [
      [1, 2],
      [20, 10],
    ]) {
      const db = database();
      db.exec(`CREATE TABLE tag (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE);
               CREATE TABLE pair (a INTEGER NOT NULL, b INTEGER NOT NULL, PRIMARY KEY (a, b));
               INSERT INTO tag VALUES (${a}, 'x'), (${b}, 'y');
               INSERT INTO pair VALUES (${a}, ${b}), (${b}, ${b})`);
      const of = models(db, [
        { table: "tag", identity: "uuid", localKey: "id", columns: [] },
        { table: "pair", identity: ["a", "b"], columns: ["a", "b"], references: { a: "tag", b: "tag" } },
      ]);
      expect(await digestModel(of("pair"))).toMatchObject({ rows: 2 });
      digests.push((await digestModel(of("pair"))).digest);
    }
    expect(digests[0]).toBe(digests[1]);
  });

  it("does not depend on pages or slices, and covers ranges by the same encoding", async () => {
    const identities = Array.from({ length: 1203 }, (_, index) => `n${String(index).padStart(5, "0")}`);
    const db = database();
    const it = notes(db);
    const insert = db.prepare("INSERT INTO note (uuid, text) VALUES (?, ?)");
    for (const identity of identities) insert.run(identity, `text of ${identity}`);
    const records = (from: number, to: number) =>
      identities.slice(from, to).map((identity) => `,["${identity}",null,null,"text of ${identity}"]`);
    const bound = fc.integer({ min: 0, max: identities.length });
    await fc.assert(
      fc.asyncProperty(bound, bound, fc.boolean(), async (from, to, slices) => {
        const range = {
          after: from === 0 ? null : identities[from - 1]!,
          upTo: to === identities.length ? null : (identities[to - 1] ?? "a"),
        };
        const expected = ['["note","anything","parent","text"]', ...records(from, to)];
        expect(await digestRange({ ...it, ...range, shouldYield: () => slices })).toEqual({
          model: "note",
          rows: Math.max(0, to - from),
          digest: createHash("sha256").update(expected.join("")).digest("hex"),
        });
      }),
      {
        seed: 20261122,
        numRuns: 40,
        examples: [
          [0, 1203, true],
          [0, 500, false],
          [500, 1000, true],
          [7, 7, false],
        ],
      },
    );
  });
});

describe("taking a digest", () => {
  it("lets the event loop run between slices and sees none of what is written meanwhile", async () => {
    const folder = mkdtempSync(join(tmpdir(), "digest-"));
    try {
      const writer = database(join(folder, "test.db"));
      writer.pragma("journal_mode = WAL");
      const writing = notes(writer);
      writer.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                   INSERT INTO note (uuid, text) SELECT printf('n%05d', i), 'x' FROM n`);
      const before = await digestModel(writing);
      const db = database(join(folder, "test.db"));
      let turns = 0;
      let done = false;
      const digesting = digestModel({ ...writing, db, shouldYield: () => true }).finally(() => {
        done = true;
      });
      while (!done) {
        writer.exec("UPDATE note SET text = text || 'y'; DELETE FROM note WHERE id = (SELECT max(id) FROM note)");
        turns += 1;
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      expect(await digesting).toEqual(before);
      expect(turns).toBeGreaterThan(3);
      expect(db.inTransaction).toBe(false);
      expect(await digestModel({ ...writing, db })).not.toEqual(before);
    } finally {
      for (const db of open.splice(0)) db.close();
      rmSync(folder, { recursive: true });
    }
  });

  it("yields after eight milliseconds of its own", async () => {
    const db = database();
    const it = notes(db);
    db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2600)
             INSERT INTO note (uuid) SELECT 'n' || i FROM n`);
    let elapsedMs = 0;
    let yields = 0;
    await digestModel({
      ...it,
      clock: {
        now: () => 0,
        monotonicMs: () => {
          elapsedMs += 4;
          return elapsedMs;
        },
        setTimeout: clock.setTimeout.bind(clock),
        setImmediate: (callback) => {
          yields += 1;
          elapsedMs += 100; // Others' time does not count.
          return clock.setImmediate(callback);
        },
      },
    });
    // Five full pages of 4 ms each are followed by another one.
    expect(yields).toBe(2);
  });

  it("leaves a transaction of its caller open, and none after a failure", async () => {
    const db = database();
    const it = notes(db);
    vi.spyOn(it.reader, "readPage").mockImplementationOnce(() => {
      throw new Error("the disk is gone");
    });
    await expect(digestModel(it)).rejects.toThrow("the disk is gone");
    expect(db.inTransaction).toBe(false);
    db.exec("DELETE FROM note; BEGIN");
    await digestModel(it);
    expect(db.inTransaction).toBe(true);
  });
});
