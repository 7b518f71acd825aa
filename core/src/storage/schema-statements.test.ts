import { expect, it } from "vitest";
import { readStatement } from "./schema-statements.js";

it.each([
  ['DROP TABLE "note"', { kind: "drop-table", table: "note" }],
  ["drop table if exists main.[my note];", { kind: "drop-table", table: "my note" }],
  ["-- why\n/* and */ DROP /* how */ TABLE `a``b`", { kind: "drop-table", table: "a`b" }],
  ["DROP TABLE 'it''s'", { kind: "drop-table", table: "it's" }],
  ["DROP TABLE größe", { kind: "drop-table", table: "größe" }],
  ['CREATE TABLE "temporary_note" ("id" integer)', { kind: "create-table", table: "temporary_note" }],
  ["CREATE TABLE IF NOT EXISTS note(id)", { kind: "create-table", table: "note" }],
  ['ALTER TABLE "note" DROP COLUMN "title"', { kind: "drop-column", table: "note" }],
  ["ALTER TABLE main.note DROP title", { kind: "drop-column", table: "note" }],
  ["alter table note rename column title to name", { kind: "rename-column", table: "note", from: "title", to: "name" }],
  ['ALTER TABLE note RENAME "a b" TO "c""d";', { kind: "rename-column", table: "note", from: "a b", to: 'c"d' }],
] as const)("reads %s", (sql, expected) => {
  expect(readStatement(sql)).toEqual(expected);
});

it.each([
  'ALTER TABLE "temporary_note" RENAME TO "note"',
  "ALTER TABLE note ADD COLUMN title",
  "CREATE INDEX i ON note (title)",
  "CREATE TEMP TABLE note (id)",
  "DROP TABLE temp.note",
  "DROP INDEX note",
  "CREATE TRIGGER t AFTER INSERT ON note BEGIN DELETE FROM note; END",
  "DROP",
])("takes %s for some other change of the schema", (sql) => {
  expect(readStatement(sql)).toEqual({ kind: "other-schema" });
});

it("tells what changes existing rows from everything else", () => {
  expect(readStatement(" update note SET title = 'DROP TABLE note'")).toEqual({ kind: "change" });
  expect(readStatement("DELETE FROM note")).toEqual({ kind: "change" });
  for (const sql of [
    "INSERT INTO note VALUES ('DROP TABLE note')",
    "SELECT 1",
    "BEGIN",
    "",
    "PRAGMA foreign_keys = 1",
  ]) {
    expect(readStatement(sql)).toEqual({ kind: "other" });
  }
});
