import Database from "better-sqlite3";
import { expect, test } from "vitest";
import { affinityOf } from "./affinity.js";

const TYPES = [
  "INT",
  "integer",
  "BIGINT",
  "CHARINT",
  "FLOATING POINT",
  "varchar(20)",
  "NVARCHAR",
  "CLOB",
  "text",
  "BLOB",
  "",
  "REAL",
  "DOUBLE",
  "float",
  "NUMERIC",
  "DECIMAL(10,5)",
  "BOOLEAN",
  "datetime",
  "date",
  "uuid",
  "json",
  "STRING",
  "ANY",
  "TEXTBLOB",
  "BLOBREAL",
];

test.each(TYPES)("a column declared %j gets the affinity that SQLite gives it", (declaredType) => {
  const db = new Database(":memory:");
  db.exec(`CREATE TABLE t (c ${declaredType})`);
  // What becomes of these four values tells the five affinities apart.
  db.prepare("INSERT INTO t VALUES ('1'), (1), (1.5), ('x')").run();
  const stored = db.prepare("SELECT typeof(c) FROM t").pluck().all().join();
  // Integers and numerics store alike; only CAST tells one from the other.
  db.exec(`CREATE VIEW v AS SELECT CAST('1.5' AS ${declaredType || "BLOB"}) AS c`);
  const cast = db.prepare("SELECT typeof(c) FROM v").pluck().get();
  const measured = {
    "text,text,text,text": "text",
    "text,integer,real,text": "none",
    "real,real,real,text": "real",
    "integer,integer,real,text": cast === "integer" ? "integer" : "numeric",
  }[stored];
  expect(affinityOf({ declaredType, strict: false })).toBe(measured);
});

test("ANY keeps values as they are in a STRICT table, and only there", () => {
  expect(affinityOf({ declaredType: "ANY", strict: true })).toBe("none");
  expect(affinityOf({ declaredType: "ANY", strict: false })).toBe("numeric");
});
