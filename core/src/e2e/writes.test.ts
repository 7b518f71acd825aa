import {
  Column,
  DeleteDateColumn,
  Entity,
  ManyToOne,
  type MigrationInterface,
  PrimaryGeneratedColumn,
  type QueryRunner,
  TableColumn,
} from "typeorm";
import { afterEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, inOtherProcess, onFile, query, shared, TestLibrary } from "./library.test-support.js";

// Whatever writes to the database, and however: it is captured and arrives.

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Tag {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Doc {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", unique: true }) code!: string;
  @Column({ type: "integer", default: 0 }) n!: number;
  @Column({ type: "text", nullable: true }) text!: string | null;
  @DeleteDateColumn({ type: "datetime" }) deletedAt!: Date | null;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "CASCADE" }) folder!: Folder | null;
  @ManyToOne(() => Tag, { nullable: true, onDelete: "SET NULL" }) tag!: Tag | null;
}

class AddRank1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // TypeORM re-creates the table for this.
    await runner.addColumn("doc", new TableColumn({ name: "rank", type: "integer", isNullable: true }));
  }
  async down(): Promise<void> {}
}

class Renumber1700000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query("UPDATE doc SET n = n + 1000");
  }
  async down(): Promise<void> {}
}

let library: TestLibrary;
afterEach(() => library.dispose());

function newLibrary(): TestLibrary {
  library = new TestLibrary({ entities: [Folder, Tag, Doc], declarations: shared(Folder, Tag, Doc) });
  return library;
}

const MIGRATIONS = { dataSourceOptions: { migrations: [AddRank1700000000000, Renumber1700000000001] } };

/** What a person would call the contents: with names in place of local keys. */
function contents({ database }: TestKernel): unknown[] {
  return [
    ...query(
      database,
      `SELECT d.uuid, d.code, d.n, d.text, d."deletedAt", f.uuid AS folder, t.uuid AS tag FROM doc d
       LEFT JOIN folder f ON f.id = d."folderId" LEFT JOIN tag t ON t.id = d."tagId" ORDER BY 1`,
    ),
    ...query(database, "SELECT uuid FROM folder ORDER BY 1"),
    ...query(database, "SELECT uuid FROM tag ORDER BY 1"),
  ];
}

type Step = (kernel: TestKernel, prefix: string) => Promise<unknown>;

const docs = (kernel: TestKernel) => kernel.dataSource.getRepository(Doc);
const sql = (kernel: TestKernel, statement: string) => kernel.dataSource.query(statement);

const STEPS: Readonly<Record<string, Step>> = {
  "repository: save": async (kernel, p) => {
    const folder = await kernel.dataSource.getRepository(Folder).save({ uuid: `${p}f` });
    const tag = await kernel.dataSource.getRepository(Tag).save({ uuid: `${p}t` });
    const list = ["1", "2", "3", "4", "5", "6"].map((name) => ({
      uuid: p + name,
      code: `c${p}${name}`,
      n: Number(name),
      folder: name === "1" ? null : folder,
      tag: name < "4" ? tag : null,
    }));
    await docs(kernel).save(list);
  },
  "repository: insert": (kernel, p) => docs(kernel).insert({ uuid: `${p}7`, code: `c${p}7`, text: "inserted" }),
  "repository: update": (kernel, p) => docs(kernel).update({ uuid: `${p}7` }, { text: "updated" }),
  "repository: save of a loaded entity": async (kernel, p) => {
    const doc = await docs(kernel).findOneByOrFail({ uuid: `${p}7` });
    doc.n = 70;
    await docs(kernel).save(doc);
  },
  "repository: upsert that inserts": (kernel, p) => docs(kernel).upsert({ uuid: `${p}8`, code: `c${p}8` }, ["uuid"]),
  "repository: upsert that updates": (kernel, p) =>
    docs(kernel).upsert({ uuid: `${p}8`, code: `c${p}8`, n: 88 }, ["uuid"]),
  "repository: remove": async (kernel, p) => docs(kernel).remove(await docs(kernel).findOneByOrFail({ uuid: `${p}8` })),
  "repository: softDelete": (kernel, p) => docs(kernel).softDelete({ uuid: `${p}7` }),
  "repository: restore": (kernel, p) => docs(kernel).restore({ uuid: `${p}7` }),
  "repository: increment": (kernel, p) => docs(kernel).increment({ uuid: `${p}7` }, "n", 3),
  "query builder: bulk update": (kernel, p) =>
    docs(kernel)
      .createQueryBuilder()
      .update()
      .set({ n: () => "n * 10" })
      .where("uuid LIKE :p", { p: `${p}%` })
      .execute(),
  "query builder: bulk delete": (kernel, p) =>
    docs(kernel)
      .createQueryBuilder()
      .delete()
      .where("uuid IN (:...names)", { names: [`${p}6`, `${p}7`] })
      .execute(),
  "raw SQL: INSERT … SELECT": (kernel, p) =>
    sql(
      kernel,
      `WITH RECURSIVE c(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM c WHERE i < 60)
       INSERT INTO doc (uuid, code, n) SELECT '${p}r' || i, 'r${p}' || i, i FROM c`,
    ),
  "raw SQL: UPDATE of many": (kernel, p) => sql(kernel, `UPDATE doc SET text = 'many' WHERE uuid LIKE '${p}r%'`),
  "raw SQL: DELETE of many": (kernel, p) => sql(kernel, `DELETE FROM doc WHERE uuid LIKE '${p}r%' AND n > 15`),
  "raw SQL: change of the identity": (kernel, p) =>
    sql(kernel, `UPDATE doc SET uuid = '${p}renamed' WHERE uuid = '${p}r15'`),
  "raw SQL: change of the local key": async (kernel, p) => {
    await sql(kernel, `UPDATE doc SET id = id + 5000 WHERE uuid = '${p}r14'`);
    await sql(kernel, `UPDATE doc SET n = -14 WHERE uuid = '${p}r14'`);
  },
  "another process: insert, update, delete": (kernel, p) =>
    inOtherProcess(
      kernel.database,
      `INSERT INTO doc (uuid, code, text) VALUES ('${p}x', 'x${p}', 'foreign')`,
      `UPDATE doc SET n = 99 WHERE uuid = '${p}r10'`,
      `DELETE FROM doc WHERE uuid = '${p}r11'`,
    ),
  "another process: REPLACE that clashes on another unique key": (kernel, p) =>
    inOtherProcess(kernel.database, `INSERT OR REPLACE INTO doc (uuid, code, n) VALUES ('${p}y', 'r${p}12', 1)`),
  "another process: UPDATE OR REPLACE": (kernel, p) =>
    inOtherProcess(kernel.database, `UPDATE OR REPLACE doc SET code = 'r${p}13' WHERE uuid = '${p}y'`),
  "another connection of this process": async (kernel, p) =>
    onFile(kernel.database, `UPDATE doc SET text = 'other connection' WHERE uuid = '${p}y'`),
  "INSERT OR REPLACE of the same record": (kernel, p) =>
    sql(kernel, `INSERT OR REPLACE INTO doc (uuid, code, n, text) VALUES ('${p}x', 'x${p}', 5, 'replaced')`),
  "INSERT OR REPLACE that clashes on another unique key": (kernel, p) =>
    sql(kernel, `INSERT OR REPLACE INTO doc (uuid, code, n) VALUES ('${p}z', 'x${p}', 6)`),
  "INSERT OR REPLACE that clashes with two records": (kernel, p) =>
    sql(kernel, `INSERT OR REPLACE INTO doc (uuid, code, n) VALUES ('${p}z', 'r${p}13', 7)`),
  "INSERT OR IGNORE, of which one is ignored": (kernel, p) =>
    sql(kernel, `INSERT OR IGNORE INTO doc (uuid, code) VALUES ('${p}z2', 'c${p}1'), ('${p}z3', 'z${p}3')`),
  "upsert on another unique key": (kernel, p) =>
    sql(
      kernel,
      `INSERT INTO doc (uuid, code) VALUES ('${p}z4', 'c${p}1') ON CONFLICT (code) DO UPDATE SET text = 'upserted'`,
    ),
  "SET NULL by SQLite": (kernel, p) => kernel.dataSource.getRepository(Tag).delete({ uuid: `${p}t` }),
  "a transaction of which a savepoint is rolled back": async (kernel, p) => {
    await kernel.dataSource.transaction(async (manager) => {
      await manager.update(Doc, { uuid: `${p}1` }, { n: 1001 });
      await manager
        .transaction(async (inner) => {
          await inner.update(Doc, { uuid: `${p}1` }, { text: "never" });
          await inner.insert(Doc, { uuid: `${p}never`, code: `never${p}` });
          throw new Error("rolled back");
        })
        .catch(() => {});
      await manager.insert(Doc, { uuid: `${p}kept`, code: `kept${p}` });
    });
  },
  "cascade by SQLite": (kernel, p) => kernel.dataSource.getRepository(Folder).delete({ uuid: `${p}f` }),
};

/** Each kind of write on `from`, seen to arrive at `to`. */
async function writeInEveryWay(from: TestKernel, to: TestKernel, prefix: string): Promise<void> {
  for (const [name, step] of Object.entries(STEPS)) {
    const before = contents(to);
    await step(from, prefix);
    const expected = contents(from);
    expect(expected, `${name} changes something`).not.toEqual(before);
    await library.settle(from, to);
    expect(contents(to), name).toEqual(expected);
    expect(contents(from), `${name} stays at home`).toEqual(expected);
  }
  expectNoViolations(from, to);
  expect((await to.tidemark.status()).parked).toEqual({ hidden: 0, quarantined: 0, deferred: 0, dead: 0, foreign: 0 });
}

/** Capture is whole: every trigger that was there before is there. */
function triggers({ database }: TestKernel): unknown[] {
  return query(database, "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name");
}

describe("every kind of write", () => {
  it("arrives", async () => {
    const { a, b } = await newLibrary().pair();
    await writeInEveryWay(a, b, "a");
    await writeInEveryWay(b, a, "b");
  });

  it("arrives after a migration that re-creates the table while both devices run, and what it wrote arrives too", async () => {
    newLibrary();
    const a = await library.device("a", MIGRATIONS);
    const b = await library.device("b", { dial: ["a"], ...MIGRATIONS });
    await docs(a).save({ uuid: "old", code: "old", n: 1 });
    await library.settle(a, b);
    const installed = triggers(a);
    expect(await a.dataSource.runMigrations()).toHaveLength(2);
    expect(query(a.database, "SELECT n, rank FROM doc")).toEqual([{ n: 1001, rank: null }]);
    expect(triggers(a)).toEqual(installed);
    await library.settle(a, b);
    expect(query(b.database, "SELECT n FROM doc")).toEqual([{ n: 1001 }]);
    await writeInEveryWay(a, b, "a");
    await writeInEveryWay(b, a, "b");
    expect([...a.recordedOf("captureGap"), ...b.recordedOf("captureGap")]).toEqual([]);
  });

  it("arrives after a synchronize that re-creates the table while both devices run", async () => {
    newLibrary();
    const a = await library.device("a", MIGRATIONS);
    const b = await library.device("b", { dial: ["a"] });
    await a.dataSource.runMigrations();
    const installed = triggers(a);
    await docs(a).save({ uuid: "old", code: "old", n: 1 });
    await library.settle(a, b);
    // The entity knows nothing of the new column, so this drops it.
    await a.dataSource.synchronize();
    expect(query(a.database, "SELECT * FROM doc")[0]).not.toHaveProperty("rank");
    expect(triggers(a)).toEqual(installed);
    await library.settle(a, b);
    await writeInEveryWay(a, b, "a");
    await writeInEveryWay(b, a, "b");
    expect([...a.recordedOf("captureGap"), ...b.recordedOf("captureGap")]).toEqual([]);
  });

  it("arrives after a restart, and so does what was written and migrated while nothing of us ran", async () => {
    newLibrary();
    // A data source that was open before the kernel is open after it.
    let a = await library.device("a", { before: () => {} });
    let b = await library.device("b", { dial: ["a"] });
    await docs(a).save([
      { uuid: "old", code: "old" },
      { uuid: "older", code: "older" },
    ]);
    await library.settle(a, b);
    await a.tidemark.stop();
    await docs(a).update({ uuid: "old" }, { n: 5 });
    await a.dataSource.destroy();
    await inOtherProcess(
      a.database,
      "UPDATE doc SET text = 'while away' WHERE uuid = 'older'",
      "INSERT INTO doc (uuid, code) VALUES ('new', 'new')",
    );
    const migrated = {
      dataSourceOptions: { migrations: [AddRank1700000000000], migrationsRun: true },
      synchronize: false,
    };
    a = await library.restart("a", a, migrated);
    await docs(a).update({ uuid: "new" }, { n: 7 });
    b = await library.restart("b", b, { dial: ["a"], ...migrated });
    await library.settle(a, b);
    expect(query(b.database, "SELECT uuid, n, text, rank FROM doc ORDER BY uuid")).toEqual([
      { uuid: "new", n: 7, text: null, rank: null },
      { uuid: "old", n: 5, text: null, rank: null },
      { uuid: "older", n: 0, text: "while away", rank: null },
    ]);
    await writeInEveryWay(a, b, "a");
    await writeInEveryWay(b, a, "b");
    expect(a.recordedOf("captureGap")).toEqual([]);
  });

  it("leaves nothing behind of transactions that were rolled back", async () => {
    const { a, b } = await newLibrary().pair();
    await docs(a).save({ uuid: "d", code: "d" });
    await library.settle(a, b);
    const before = contents(b);
    const failing = a.dataSource.transaction(async (manager) => {
      await manager.update(Doc, { uuid: "d" }, { n: 1 });
      await manager.insert(Doc, { uuid: "e", code: "e" });
      await manager.delete(Doc, { uuid: "d" });
      throw new Error("changed my mind");
    });
    await expect(failing).rejects.toThrow("changed my mind");
    await library.settle(a, b);
    expect(contents(a)).toEqual(before);
    expect(contents(b)).toEqual(before);
    expect(query(a.database, "SELECT * FROM tidemark_outbox")).toEqual([]);
  });
});
