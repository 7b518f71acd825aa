import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Sqlite } from "./database.js";
import { forgetTentative } from "./late.js";
import { migrateSyncTables } from "./schema.js";

let db: Sqlite;
beforeEach(() => {
  db = new Database(":memory:");
  migrateSyncTables({ db, logId: "log" });
});
afterEach(() => db.close());

function noted(...untils: readonly (number | null)[]): void {
  const insert = db.prepare(
    "INSERT INTO tidemark_late (target_model, target, model, record, until) VALUES (1, ?, 2, 'r', ?)",
  );
  for (const [target, until] of untils.entries()) insert.run(target, until);
}

const left = () => db.prepare("SELECT until FROM tidemark_late ORDER BY target").pluck().all();

it("forgets what goes with the end of a transaction, and nothing else", () => {
  noted(5, 9, null, 5);
  forgetTentative(db, 4);
  expect(left()).toEqual([5, 9, null, 5]);
  forgetTentative(db, 5);
  expect(left()).toEqual([9, null]);
  forgetTentative(db, null);
  expect(left()).toEqual([null]);
});

it.each([5, null])("forgets all where there is nothing else (%s)", (seq) => {
  noted(5, 5, 4);
  forgetTentative(db, seq);
  expect(left()).toEqual([]);
});
