import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import type { Sqlite } from "../storage/database.js";
import { LogTransaction } from "../storage/log-transaction.js";
import { migrateSyncTables } from "../storage/schema.js";
import { sweepLog } from "./forget.js";

const FLOOR = 50_000;

/** A log of so many births, edits and deaths up to the floor, in an order that is none of its records. */
function logOf(rows: number): Sqlite {
  const db = new Database(":memory:");
  db.transaction(() => migrateSyncTables({ db, logId: "log" }))();
  db.exec(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
     INSERT INTO tidemark_stamp (model, record, col, hlc, origin, seq)
     SELECT 1, 'r' || (i * 7919 % ${rows}), CASE i % 3 WHEN 0 THEN -1 WHEN 1 THEN -2 ELSE 1 END, i, 1, i FROM n;
     INSERT INTO tidemark_parked (model, record, kind, reason, vals, since) VALUES (1, 'r1', 'dead', '', '{}', 0);
     UPDATE tidemark_state SET floor = ${FLOOR}, hlc = ${FLOOR}, sequence = ${rows}`,
  );
  return db;
}

function sweep(db: Sqlite, limit: number): readonly number[] {
  const slices: number[] = [];
  for (let after: number | null = 0; after !== null; ) {
    const { removed, next } = sweepLog(new LogTransaction(db, () => 0), after, limit);
    slices.push(removed);
    after = next;
  }
  return slices;
}

const left = (db: Sqlite, table = "tidemark_stamp") => db.prepare(`SELECT count(*) FROM ${table}`).pluck().get();

describe("sweeping a log of which nothing is to stay", () => {
  it("empties a short one at once", () => {
    const db = logOf(2_000);
    expect(sweep(db, 500)).toEqual([2_000]);
    expect(left(db)).toBe(0);
    expect(left(db, "tidemark_parked")).toBe(0);
  });

  it("goes through a long one in slices, so that none of them takes long", () => {
    const db = logOf(12_000);
    expect(sweep(db, 5_000)).toEqual([5_000, 5_000, 2_000]);
    expect(left(db)).toBe(0);
    expect(left(db, "tidemark_parked")).toBe(0);
  });
});

describe("sweeping a log of which something is to stay", () => {
  it("leaves what is younger, deaths that it belongs to, and what is kept of those", () => {
    const db = logOf(900);
    const young = db.prepare(
      "INSERT INTO tidemark_stamp (model, record, col, hlc, origin, seq) VALUES (1, ?, ?, ?, 1, ?)",
    );
    young.run("young", -1, FLOOR + 1, 901);
    const { record } = db.prepare("SELECT record FROM tidemark_stamp WHERE col = -2 LIMIT 1").get() as {
      record: string;
    };
    young.run(record, 2, FLOOR + 2, 902);
    db.prepare("UPDATE tidemark_parked SET record = ?").run(record);
    db.exec(`UPDATE tidemark_state SET hlc = ${FLOOR + 2}, sequence = 902`);
    expect(sweep(db, 400)).toHaveLength(3);
    expect(db.prepare("SELECT record, col FROM tidemark_stamp ORDER BY seq").all()).toEqual([
      { record, col: -2 },
      { record: "young", col: -1 },
      { record, col: 2 },
    ]);
    expect(left(db, "tidemark_parked")).toBe(1);
  });
});
