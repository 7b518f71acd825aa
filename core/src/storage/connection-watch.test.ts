import { describe, expect, it } from "vitest";
import { watchConnection } from "./connection-watch.js";
import { noGuard, openNoteSource, openPlain, temporaryFile } from "./connections.test-support.js";
import { applicationConnection, type Sqlite } from "./database.js";
import type { SchemaGuard } from "./schema-guard.js";

function openTable(guard: SchemaGuard = noGuard): { db: Sqlite; plain: Sqlite; events: string[] } {
  const plain = openPlain(temporaryFile());
  plain.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE) STRICT");
  const db = openPlain(plain.name);
  const events: string[] = [];
  const watch = watchConnection({ connection: db, guard });
  watch.onTransactionEnd(() => events.push(db.inTransaction ? "end too early" : "end"));
  watch.onActivity(() => events.push("activity"));
  return { db, plain, events };
}

/** Writes down what it is asked, and who else sees the change at that moment. */
function recordingGuard(): SchemaGuard & { readonly calls: string[] } {
  const calls: string[] = [];
  return {
    calls,
    beforeStatement: (db, sql) => void calls.push(`before ${sql.trim()} ${db.inTransaction}`),
    afterSchemaChange: (db) => void calls.push(`after ${db.inTransaction}`),
  };
}

describe("a watched connection", () => {
  it("tells the end of a transaction however it is ended", () => {
    const { db, events } = openTable();
    const ends = (action: () => void) => {
      events.length = 0;
      action();
      return events.filter((event) => event === "end").length;
    };
    const begin = db.prepare("BEGIN");
    const commit = db.prepare("COMMIT");
    expect(ends(() => begin.run())).toBe(0);
    expect(ends(() => db.exec("INSERT INTO t (a) VALUES ('1')"))).toBe(0);
    expect(ends(() => commit.run())).toBe(1);
    expect(ends(() => db.exec("BEGIN; INSERT INTO t (a) VALUES ('2'); END TRANSACTION"))).toBe(1);
    expect(ends(() => db.exec("BEGIN").prepare("ROLLBACK").run())).toBe(1);
    expect(ends(() => db.exec("SAVEPOINT x; SAVEPOINT y; RELEASE y"))).toBe(0);
    expect(ends(() => db.prepare("RELEASE x").run())).toBe(1);
    expect(ends(() => db.transaction(() => db.exec("INSERT INTO t (a) VALUES ('3')"))())).toBe(1);
    expect(
      ends(() => {
        db.exec("BEGIN");
        expect(() => db.exec("INSERT OR ROLLBACK INTO t (a) VALUES ('3')")).toThrow("UNIQUE");
      }),
    ).toBe(1);
    expect(
      ends(() => {
        db.exec("BEGIN");
        expect(() => [...db.prepare("INSERT OR ROLLBACK INTO t (a) VALUES ('3') RETURNING a").iterate()]).toThrow();
      }),
    ).toBe(1);
    expect(db.inTransaction).toBe(false);
  });

  it("hints at writes outside a transaction, RETURNING included, and never at queries", () => {
    const { db, events } = openTable();
    const hints = (action: () => void) => {
      events.length = 0;
      action();
      return events.length;
    };
    expect(hints(() => db.prepare("INSERT INTO t (a) VALUES ('1')").run())).toBe(1);
    expect(hints(() => db.prepare("INSERT INTO t (a) VALUES ('2') RETURNING a").get())).toBe(1);
    expect(hints(() => db.prepare("INSERT INTO t (a) VALUES ('3') RETURNING a").all())).toBe(1);
    expect(hints(() => db.exec("UPDATE t SET a = a || 'x'"))).toBe(1);
    const iterator = db.prepare("DELETE FROM t RETURNING a").iterate();
    expect(hints(() => [...iterator])).toBeGreaterThan(0);
    expect(hints(() => db.prepare("SELECT * FROM t").all())).toBe(0);
    db.exec("BEGIN");
    expect(hints(() => db.prepare("INSERT INTO t (a) VALUES ('4')").run())).toBe(0);
    expect(hints(() => db.exec("COMMIT"))).toBe(2);
  });

  it("leaves statements as they were: same object, same results, same errors", () => {
    const { db, plain } = openTable();
    const statement = db.prepare("INSERT INTO t (a) VALUES (?) RETURNING id, a");
    expect(Object.keys(statement)).toEqual(Object.keys(plain.prepare("INSERT INTO t (a) VALUES (?) RETURNING id, a")));
    expect(statement.source).toBe("INSERT INTO t (a) VALUES (?) RETURNING id, a");
    expect(statement.database).toBe(db);
    expect(statement.get("1")).toEqual({ id: 1, a: "1" });
    expect(statement.all("2")).toEqual([{ id: 2, a: "2" }]);
    expect([...statement.iterate("3")]).toEqual([{ id: 3, a: "3" }]);
    expect(statement.raw()).toBe(statement);
    expect(statement.get("4")).toEqual([4, "4"]);
    expect(statement.raw(false).safeIntegers().pluck().get("5")).toBe(5n);
    expect(db.prepare("INSERT INTO t (a) VALUES (?)").run("6")).toEqual({ changes: 1, lastInsertRowid: 6 });
    expect(db.prepare("INSERT INTO t (a) VALUES (?)").bind("7").run()).toMatchObject({ lastInsertRowid: 7 });
    expect(db.prepare("INSERT INTO t (a) VALUES (@a)").run({ a: "8" })).toMatchObject({ lastInsertRowid: 8 });
    expect(db.prepare("DELETE FROM t WHERE id = 0 RETURNING a").run()).toMatchObject({ changes: 0 });
    expect(db.exec("UPDATE t SET a = '9' WHERE id = 8")).toBe(db);

    // An iterator that is left early is finished, and the connection is free again.
    for (const row of db.prepare("UPDATE t SET a = a || 'x' RETURNING id").iterate()) {
      expect(row).toEqual({ id: 1 });
      break;
    }
    expect(db.prepare("SELECT count(*) FROM t WHERE a LIKE '%x'").pluck().get()).toBe(8);

    for (const action of [
      (it: Sqlite) => it.prepare("INSERT INTO t (a) VALUES (?)").run("9x"),
      (it: Sqlite) => it.prepare("INSERT INTO t (a) VALUES (?)").run(),
      (it: Sqlite) => it.prepare("INSERT INTO t (a) VALUES (?)").get("10"),
      (it: Sqlite) => it.prepare("COMMIT").run(),
      (it: Sqlite) => it.prepare("SELECT 1; SELECT 2"),
      (it: Sqlite) => it.prepare(5 as unknown as string),
      (it: Sqlite) => it.exec("CREATE TABLE u (a); COMMIT"),
      (it: Sqlite) => it.exec("DROP TABLE missing"),
      (it: Sqlite) => it.exec(5 as unknown as string),
      (it: Sqlite) => it.transaction(5 as unknown as () => void),
    ]) {
      const watched = failure(() => action(db));
      plain.exec("DROP TABLE IF EXISTS u");
      expect(watched).toEqual(failure(() => action(plain)));
      plain.exec("DROP TABLE IF EXISTS u");
    }
  });

  it("runs the transactions of better-sqlite3 as before, nested ones and all their variants", () => {
    const { db, plain } = openTable();
    const insert = db.prepare("INSERT INTO t (a) VALUES (?)");
    const add = db.transaction(function (this: unknown, text: string, fails: boolean) {
      insert.run(text);
      if (fails) throw new Error("no");
      return [this, db.inTransaction, text];
    });
    const self = {};
    expect(add.call(self, "1", false)).toEqual([self, true, "1"]);
    expect(() => add("2", true)).toThrow("no");
    expect(db.inTransaction).toBe(false);
    const outer = db.transaction(() => {
      add("3", false);
      expect(() => add("4", true)).toThrow("no");
      expect(db.inTransaction).toBe(true);
      add.immediate("5", false);
    });
    outer.immediate();
    expect((add.deferred as typeof add).exclusive).toBe(add.exclusive);
    expect((add as unknown as { database: unknown }).database).toBe(db);
    expect(() => db.transaction(async () => {})()).toThrow("cannot return a promise");
    expect(db.inTransaction).toBe(false);
    expect(plain.prepare("SELECT a FROM t ORDER BY a").pluck().all()).toEqual(["1", "3", "5"]);
  });

  it("asks the guard inside the transaction that changes the schema, just before its COMMIT", () => {
    const guard = recordingGuard();
    const { db } = openTable(guard);
    const asked = (action: () => void) => {
      guard.calls.length = 0;
      action();
      return guard.calls;
    };
    expect(asked(() => db.prepare("CREATE TABLE u (a)").run())).toEqual([
      "before CREATE TABLE u (a) true",
      "after true",
    ]);
    expect(asked(() => db.exec("BEGIN; ALTER TABLE u ADD b; SAVEPOINT s; RELEASE s"))).toEqual([
      "before ALTER TABLE u ADD b; true",
    ]);
    expect(asked(() => db.exec("COMMIT"))).toEqual(["after true"]);
    expect(asked(() => db.exec("BEGIN; DROP TABLE u; ROLLBACK; BEGIN; COMMIT"))).toEqual(["before DROP TABLE u; true"]);
    expect(asked(() => db.exec("SAVEPOINT s; DROP TABLE u; RELEASE s"))).toEqual([
      "before DROP TABLE u; true",
      "after true",
    ]);
    expect(asked(() => db.transaction(() => db.exec("CREATE TABLE v (a)"))())).toEqual([
      "before CREATE TABLE v (a) true",
      "after true",
    ]);
    expect(asked(() => db.exec("INSERT INTO v VALUES (1); BEGIN; DELETE FROM v; COMMIT"))).toEqual([]);
  });

  it("asks the guard before the writes that follow in the same transaction, once for each kind", () => {
    const guard = recordingGuard();
    const { db } = openTable(guard);
    db.exec("BEGIN; CREATE TABLE u (a); INSERT INTO u VALUES (1); INSERT INTO u VALUES (2); DELETE FROM u; COMMIT");
    expect(guard.calls).toEqual([
      "before CREATE TABLE u (a); true",
      "before INSERT INTO u VALUES (1); true",
      "before DELETE FROM u; true",
      "after true",
    ]);
  });

  it("undoes a schema change that the guard refuses, and lets the guard change the schema itself", () => {
    let refuses = true;
    const { db, plain } = openTable({
      beforeStatement(_db, sql) {
        if (sql.includes("forbidden")) throw new Error("refused before");
      },
      afterSchemaChange(connection) {
        connection.exec("CREATE TABLE IF NOT EXISTS mine (a)");
        connection.prepare("INSERT INTO mine VALUES (1)").run();
        if (refuses) throw new Error("refused after");
      },
    });
    const tables = () => plain.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").pluck().all();
    expect(() => db.exec("CREATE TABLE forbidden (a)")).toThrow("refused before");
    expect(() => db.exec("CREATE TABLE u (a)")).toThrow("refused after");
    expect(db.inTransaction).toBe(false);
    expect(() => db.exec("BEGIN; CREATE TABLE u (a); COMMIT")).toThrow("refused after");
    expect(db.inTransaction).toBe(true);
    db.exec("ROLLBACK");
    expect(tables()).toEqual(["t"]);
    refuses = false;
    db.exec("CREATE TABLE u (a)");
    expect(tables()).toEqual(["mine", "t", "u"]);
  });

  it("turns recursive triggers on, and is watched once however often one asks", () => {
    const { db, events } = openTable();
    expect(db.pragma("recursive_triggers", { simple: true })).toBe(1);
    const prepare = db.prepare;
    watchConnection({ connection: db, guard: noGuard });
    expect(db.prepare).toBe(prepare);
    db.exec("BEGIN; COMMIT");
    expect(events.filter((event) => event === "end")).toHaveLength(1);
  });

  it("sees the commits of TypeORM: transactions, query runners, raw queries, with its statement cache warm", async () => {
    // Opened without our options: TypeORM has prepared BEGIN and COMMIT before the watch begins.
    const dataSource = await openNoteSource(temporaryFile(), { watched: false });
    const insert = "INSERT INTO note (text) VALUES (?)";
    await dataSource.transaction((manager) => manager.query(insert, ["before"]));
    let ends = 0;
    let hints = 0;
    const watch = watchConnection({ connection: applicationConnection(dataSource), guard: noGuard });
    watch.onTransactionEnd(() => ends++);
    watch.onActivity(() => hints++);

    for (let round = 1; round <= 3; round++) {
      ends = 0;
      await dataSource.transaction((manager) => manager.query(insert, [`transaction ${round}`]));
      expect(ends).toBe(1);

      const runner = dataSource.createQueryRunner();
      await runner.startTransaction();
      await runner.query(insert, ["runner"]);
      await runner.rollbackTransaction();
      await runner.release();
      expect(ends).toBe(2);

      await dataSource.query("BEGIN");
      await dataSource.query(insert, [`raw ${round}`]);
      await dataSource.query("COMMIT");
      expect(ends).toBe(3);

      hints = 0;
      await dataSource.query(insert, [`alone ${round}`]);
      expect(hints).toBe(1);
      await dataSource.getRepository("Note").save({ text: `saved ${round}` });
      expect(ends).toBe(4);
    }
    expect(await dataSource.getRepository("Note").count()).toBe(13);
  });
});

function failure(action: () => unknown): { readonly message: string; readonly code: unknown; readonly name: string } {
  try {
    action();
  } catch (error) {
    const { message, code, name } = error as Error & { code?: unknown };
    return { message, code, name };
  }
  throw new Error(`did not fail: ${action}`);
}
