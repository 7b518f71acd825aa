import Database from "better-sqlite3";
import { beforeEach, describe, expect, it } from "vitest";
import type { SyncModel } from "../registry/model.js";
import { handMadeRegistry } from "../storage/models.test-support.js";
import { RecordReader } from "../storage/record-reader.js";
import { PlainLookup, ResolvedLookup } from "./target-lookup.js";

let db: Database.Database;
let entry: SyncModel;
let entryTag: SyncModel;
let plain: PlainLookup;
let lookup: ResolvedLookup;

beforeEach(() => {
  db = new Database(":memory:");
  db.exec(`
    CREATE TABLE entry (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE);
    CREATE TABLE tag (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE);
    CREATE TABLE entry_tag (
      entry_id INTEGER NOT NULL REFERENCES entry (id), tag_id INTEGER NOT NULL REFERENCES tag (id),
      PRIMARY KEY (entry_id, tag_id)
    );
    INSERT INTO entry VALUES (1, 'e1'), (2, 'e2');
    INSERT INTO tag VALUES (1, 't1');
  `);
  const registry = handMadeRegistry(db, [
    { table: "entry", identity: "uuid", localKey: "id", columns: [] },
    { table: "tag", identity: "uuid", localKey: "id", columns: [] },
    {
      table: "entry_tag",
      identity: ["entry_id", "tag_id"],
      columns: ["entry_id", "tag_id"],
      references: { entry_id: "entry", tag_id: "tag" },
    },
  ]);
  const modelOf = (name: string) => registry.byName.get(name)!;
  entry = modelOf("entry");
  entryTag = modelOf("entry_tag");
  const reader = new RecordReader({ registry });
  plain = new PlainLookup(reader);
  const resolved = new Map([[entry, new Map<string, number | null>([["e1", 1]])]]);
  lookup = new ResolvedLookup({ reader, plain, resolved, version: { dataVersion: 1, writes: 1 } });
});

describe("what a transform has resolved", () => {
  it("is taken at its word while nobody else has committed", () => {
    db.exec("DELETE FROM entry WHERE uuid = 'e1'");
    lookup.recheck(db, { dataVersion: 1, writes: 1 });
    expect(lookup.find(db, entry, "e1")).toBe(1);
    expect(plain.lookups).toBe(0);
  });

  it("is asked for again after somebody has, and what has vanished is gone", () => {
    db.exec("DELETE FROM entry WHERE uuid = 'e1'");
    lookup.recheck(db, { dataVersion: 2, writes: 1 });
    expect(lookup.find(db, entry, "e1")).toBeNull();
    expect(plain.lookups).toBe(0);
  });

  it("holds beside the rows of junctions that the batch itself has written", () => {
    lookup.changed(entry, "e2", 2);
    lookup.changed(entryTag, "e1 t1", [1, 1]);
    lookup.recheck(db, { dataVersion: 2, writes: 1 });
    expect([lookup.find(db, entry, "e1"), lookup.find(db, entry, "e2")]).toEqual([1, 2]);
    expect(plain.lookups).toBe(0);
  });
});
