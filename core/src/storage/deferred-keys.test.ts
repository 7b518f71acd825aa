import { describe, expect, it } from "vitest";
import { openPlain, temporaryFile } from "./connections.test-support.js";
import type { Sqlite } from "./database.js";
import { deferForeignKeys } from "./deferred-keys.js";

function family(): Sqlite {
  const db = openPlain(temporaryFile());
  db.pragma("foreign_keys = ON");
  db.exec(`CREATE TABLE parent (id INTEGER PRIMARY KEY);
           CREATE TABLE child (parent INTEGER NOT NULL REFERENCES parent (id))`);
  return db;
}

describe("putting off the checks of foreign keys", () => {
  it("lets a child come before its parent, in one transaction after the other", () => {
    const db = family();
    db.exec("BEGIN");
    deferForeignKeys(db);
    const child = db.prepare("INSERT INTO child VALUES (?)");
    const parent = db.prepare("INSERT INTO parent VALUES (?)");
    for (const key of [1, 2, 3]) {
      if (!db.inTransaction) db.exec("BEGIN");
      deferForeignKeys(db);
      child.run(key);
      parent.run(key);
      db.exec("COMMIT");
    }
    expect(db.prepare("SELECT count(*) FROM child").pluck().get()).toBe(3);
  });

  it("refuses the COMMIT of a transaction in which a parent is missing", () => {
    const db = family();
    db.exec("BEGIN");
    deferForeignKeys(db);
    db.exec("INSERT INTO child VALUES (1)");
    expect(() => db.exec("COMMIT")).toThrow("FOREIGN KEY");
  });

  it("ends with the transaction", () => {
    const db = family();
    db.exec("BEGIN");
    deferForeignKeys(db);
    const child = db.prepare("INSERT INTO child VALUES (1)");
    db.exec("COMMIT");
    expect(() => child.run()).toThrow("FOREIGN KEY");
    expect(db.pragma("defer_foreign_keys", { simple: true })).toBe(0);
  });
});
