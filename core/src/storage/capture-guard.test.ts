import "reflect-metadata";
import { isTidemarkError } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import {
  DataSource,
  EntitySchema,
  type EntitySchemaColumnOptions,
  type MigrationInterface,
  type QueryRunner,
  TableColumn,
} from "typeorm";
import { describe, expect, it, onTestFinished } from "vitest";
import { verifyCapture } from "./capture.js";
import { capture, connect, model, rows, taken, temporaryFile, triggersOf } from "./capture.test-support.js";
import { captureGuard } from "./capture-guard.js";
import { watchConnection } from "./connection-watch.js";
import { tidemarkDataSourceOptions } from "./data-source-options.js";
import type { Sqlite } from "./database.js";

const folder = model({ table: "folder", columns: ["title", { column: "parentId", affinity: "integer" }] });
const note = model({
  number: 2,
  table: "note",
  columns: ["title", "body", { column: "folderId", affinity: "integer", target: folder }],
  uniqueKeys: [["title"]],
  owner: (columns) => [columns[2]!],
});

const FOLDER_TRIGGERS = 6;
const NOTE_TRIGGERS = 6;

const text: EntitySchemaColumnOptions = { type: "text", nullable: true };

interface Row {
  id: number;
  uuid: string;
}

function entities({
  noteColumns = {},
  without = [],
}: {
  readonly noteColumns?: Record<string, EntitySchemaColumnOptions>;
  readonly without?: readonly string[];
} = {}) {
  const id: EntitySchemaColumnOptions = { type: Number, primary: true, generated: true };
  const uuid: EntitySchemaColumnOptions = { type: "text", unique: true };
  const folderSchema = new EntitySchema<Row>({
    name: "folder",
    columns: { id, uuid, title: text } as never,
    relations: {
      parent: { type: "many-to-one", target: "folder", nullable: true, onDelete: "CASCADE" },
    } as never,
  });
  const noteSchema = new EntitySchema<Row>({
    name: "note",
    columns: Object.fromEntries(
      Object.entries({ id, uuid, title: { ...text, unique: true }, body: text, ...noteColumns }).filter(
        ([name]) => !without.includes(name),
      ),
    ) as never,
    relations: { folder: { type: "many-to-one", target: "folder", nullable: true, onDelete: "CASCADE" } } as never,
  });
  return [folderSchema, noteSchema];
}

async function open(path: string, options: Partial<Parameters<typeof tidemarkDataSourceOptions>[0]>) {
  const dataSource = new DataSource(
    tidemarkDataSourceOptions({ type: "better-sqlite3", database: path, ...options } as never),
  );
  await dataSource.initialize();
  onTestFinished(() => (dataSource.isInitialized ? dataSource.destroy() : undefined));
  return dataSource;
}

/** A library with one folder in another and a note in it, captured, its outbox empty. */
async function library() {
  const path = temporaryFile();
  await (await open(path, { entities: entities(), synchronize: true })).destroy();
  const db = connect(path);
  capture(db, folder, note);
  db.exec("INSERT INTO folder (uuid, title) VALUES ('root', 'r')");
  db.exec("INSERT INTO folder (uuid, title, parentId) VALUES ('inner', 'i', 1)");
  db.exec("INSERT INTO note (uuid, title, body, folderId) VALUES ('a', 't', 'b', 2)");
  taken(db);
  return { path, db };
}

function expectCaptured(db: Sqlite) {
  expect(verifyCapture(db)).toEqual([]);
  expect(triggersOf(db, "folder")).toHaveLength(FOLDER_TRIGGERS);
  expect(triggersOf(db, "note")).toHaveLength(NOTE_TRIGGERS);
  expect([rows(db, "folder"), rows(db, "note")]).toEqual([2, 1]);
}

async function migrate(path: string, up: (runner: QueryRunner) => Promise<unknown>, down = up) {
  class Change1700000000000 implements MigrationInterface {
    readonly name = "Change1700000000000";
    up(runner: QueryRunner) {
      return up(runner) as Promise<void>;
    }
    down(runner: QueryRunner) {
      return down(runner) as Promise<void>;
    }
  }
  const dataSource = await open(path, { entities: entities(), migrations: [Change1700000000000] });
  await dataSource.runMigrations();
  return dataSource;
}

const extraColumn = () => new TableColumn({ name: "extra", type: "text", isNullable: true });

describe("synchronize", () => {
  it("re-creates tables, keeps the rows, logs nothing, and the next write is captured", async () => {
    const { path, db } = await library();
    for (const noteColumns of [{ extra: text }, { extra: text, more: { ...text, default: "x" } }]) {
      const dataSource = await open(path, { entities: entities({ noteColumns }), synchronize: true });
      expectCaptured(db);
      expect(taken(db)).toEqual([]);
      await dataSource.getRepository<Row>("note").update({ uuid: "a" }, { title: noteColumns.extra.type } as never);
      await dataSource.query("UPDATE note SET title = 't'");
      expect(taken(db)).toEqual(["edit 2:a 1 hop=2", "edit 2:a 1 hop=2"]);
      await dataSource.destroy();
    }
  });

  it("that drops a column leaves the others captured, and is no gap for a model without it", async () => {
    const { path, db } = await library();
    await open(path, { entities: entities({ without: ["body"] }), synchronize: true });
    expectCaptured(db);
    db.exec("UPDATE note SET title = 'u'; UPDATE note SET folderId = 1");
    expect(taken(db)).toEqual(["edit 2:a 1 hop=2", "edit 2:a 3 hop=2"]);
    const smaller = { ...note, columns: note.columns.filter(({ column }) => column !== "body") };
    expect(capture(db, folder, smaller)).toMatchObject({ gaps: [], changed: [{ model: 2 }] });
  });

  it("leaves a database alone that has no sync tables", async () => {
    const path = temporaryFile();
    await (await open(path, { entities: entities(), synchronize: true })).destroy();
    await open(path, { entities: entities({ noteColumns: { extra: text } }), synchronize: true });
    const db = connect(path);
    expect(db.prepare("SELECT name FROM sqlite_master WHERE name LIKE 'tidemark%'").all()).toEqual([]);
    db.exec("PRAGMA foreign_keys = ON; INSERT INTO folder (uuid) VALUES ('x'); DROP TABLE folder");
  });
});

describe("a migration", () => {
  it("that re-creates a table keeps rows and capture, on the way up and on the way down", async () => {
    const { path, db } = await library();
    const dataSource = await migrate(
      path,
      (runner) => runner.addColumn("folder", extraColumn()),
      (runner) => runner.dropColumn("folder", "extra"),
    );
    expectCaptured(db);
    expect(taken(db)).toEqual([]);
    await dataSource.getRepository<Row>("folder").update({ uuid: "root" }, { title: "up" } as never);
    expect(taken(db)).toEqual(["edit root 1"]);
    // TypeORM turns foreign keys off to run migrations, but not to revert one, which would delete the children.
    await expect(dataSource.undoLastMigration()).rejects.toThrow(/was not dropped/);
    expectCaptured(db);
    await dataSource.query("PRAGMA foreign_keys = OFF");
    await dataSource.undoLastMigration();
    expectCaptured(db);
    await dataSource.query("UPDATE folder SET title = 'down'");
    expect(taken(db)).toEqual(["edit root 1", "edit inner 1"]);
  });

  it("that fails leaves everything as it was", async () => {
    const { path, db } = await library();
    await expect(
      migrate(path, async (runner) => {
        await runner.addColumn("note", extraColumn());
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    expectCaptured(db);
    db.exec("UPDATE note SET title = 'u'");
    expect(taken(db)).toEqual(["edit 2:a 1 hop=2"]);
  });

  it("that goes on to change rows of the table it re-created is captured", async () => {
    const { path, db } = await library();
    await migrate(path, async (runner) => {
      await runner.addColumn("note", extraColumn());
      await runner.query("UPDATE note SET title = upper(title)");
      await runner.query("INSERT INTO note (uuid) VALUES ('b')");
    });
    expect(taken(db)).toEqual(["edit 2:a 1 hop=2", "birth 2:b"]);
  });

  it("that renames a column by re-creation leaves it out, and the next start says so", async () => {
    const { path, db } = await library();
    await migrate(path, (runner) => runner.renameColumn("note", "body", "content"));
    expectCaptured(db);
    db.exec("UPDATE note SET title = 'u'; UPDATE note SET content = 'lost'");
    expect(taken(db)).toEqual(["edit 2:a 1 hop=2"]);
    const renamed = model({
      number: 2,
      table: "note",
      columns: ["title", "content", { column: "folderId", affinity: "integer", target: folder }],
      uniqueKeys: [["title"]],
      owner: (columns) => [columns[2]!],
    });
    const { gaps } = capture(db, folder, renamed);
    expect(gaps).toEqual([
      {
        model: 2,
        table: "note",
        reason: 'the table was changed, and changes of what was "body" could not be captured until now',
      },
    ]);
    db.exec("UPDATE note SET content = 'seen'");
    expect(taken(db)).toEqual(["edit 2:a 2 hop=2"]);
    expect(capture(db, folder, renamed)).toMatchObject({ gaps: [], changed: [] });
  });

  it("that renames a table is followed", async () => {
    const { path, db } = await library();
    await migrate(path, (runner) => runner.renameTable("note", "memo"));
    expect(verifyCapture(db)).toEqual([]);
    expect(triggersOf(db, "memo")).toHaveLength(NOTE_TRIGGERS);
    db.exec("UPDATE memo SET title = 'u'");
    expect(taken(db)).toEqual(["edit 2:a 1 hop=2"]);
    const memo = { ...note, table: "memo" };
    expect(capture(db, folder, memo)).toMatchObject({ gaps: [], installed: [] });
  });

  it("that takes a table away for good leaves its capture to the next start", async () => {
    const { path, db } = await library();
    await migrate(path, (runner) => runner.dropTable("note"));
    expect(verifyCapture(db)).toMatchObject([{ model: 2, table: "note" }]);
    expect(capture(db, folder)).toMatchObject({ removed: [{ model: 2, table: "note" }], gaps: [] });
  });
});

/** The same connection that TypeORM would have, without TypeORM. */
async function watched() {
  const { path, db: observer } = await library();
  const db = new Database(path);
  onTestFinished(() => void db.close());
  watchConnection({ connection: db, guard: captureGuard });
  return { db, observer };
}

const NOTE_BODY = "(id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, title TEXT UNIQUE, body TEXT, folderId INTEGER)";

describe("plain SQL", () => {
  it("may drop a captured column, and the rest is captured at once", async () => {
    const { db, observer } = await watched();
    db.exec("ALTER TABLE note DROP COLUMN body");
    expectCaptured(observer);
    db.exec("UPDATE note SET title = 'u'");
    expect(taken(observer)).toEqual(["edit 2:a 1 hop=2"]);
    db.exec(
      "ALTER TABLE folder DROP COLUMN title; BEGIN; ALTER TABLE note ADD COLUMN body; UPDATE note SET body = 'v'; COMMIT",
    );
    expect(taken(observer)).toEqual(["edit 2:a 2 hop=2"]);
    db.exec("DELETE FROM note");
    expect(taken(observer)).toEqual(["death 2:a key=1 hop=2"]);
  });

  it("may fail to drop a column, and capture stays", async () => {
    const { db, observer } = await watched();
    expect(() => db.exec("ALTER TABLE note DROP COLUMN title")).toThrow(/UNIQUE/);
    expectCaptured(observer);
    db.exec("BEGIN");
    expect(() => db.exec("ALTER TABLE note DROP COLUMN title")).toThrow(/UNIQUE/);
    db.exec("UPDATE note SET title = 'u'; COMMIT");
    expectCaptured(observer);
    expect(taken(observer)).toEqual(["edit 2:a 1 hop=2"]);
  });

  it("may rename columns, the identity included, and is followed", async () => {
    const { db, observer } = await watched();
    db.exec("ALTER TABLE note RENAME COLUMN body TO content");
    db.exec('BEGIN; ALTER TABLE note RENAME uuid TO "the uuid"; ALTER TABLE note RENAME folderId TO parent; COMMIT');
    expectCaptured(observer);
    db.exec("UPDATE note SET content = 'u', parent = 1; DELETE FROM note");
    expect(taken(observer)).toEqual(["edit 2:a 2,3 hop=2", "death 2:a key=1 hop=1"]);
    const renamed = model({
      number: 2,
      table: "note",
      identity: "the uuid",
      columns: ["title", "content", { column: "parent", affinity: "integer", target: folder }],
      uniqueKeys: [["title"]],
      owner: (columns) => [columns[2]!],
    });
    expect(capture(observer, folder, renamed)).toMatchObject({ gaps: [], changed: [] });
  });

  it("may rename and be rolled back", async () => {
    const { db, observer } = await watched();
    db.exec("BEGIN; ALTER TABLE note RENAME TO memo; ALTER TABLE memo RENAME body TO content; ROLLBACK");
    db.exec("CREATE TABLE other (x)");
    expectCaptured(observer);
    db.exec("UPDATE note SET body = 'u'");
    expect(taken(observer)).toEqual(["edit 2:a 2 hop=2"]);
  });

  it("may add columns and indexes", async () => {
    const { db, observer } = await watched();
    db.exec("ALTER TABLE note ADD COLUMN extra; CREATE INDEX note_body ON note (body); DROP INDEX note_body");
    expectCaptured(observer);
  });

  it("can't take a capture trigger away", async () => {
    const { db, observer } = await watched();
    db.exec("DROP TRIGGER tidemark_capture_2_birth");
    expectCaptured(observer);
  });

  it("may move a table aside, copy it back and drop the old one: the copies are not new records", async () => {
    const { db, observer } = await watched();
    db.exec("PRAGMA foreign_keys = OFF; BEGIN; ALTER TABLE note RENAME TO temporary_note");
    db.exec(`CREATE TABLE note ${NOTE_BODY}; INSERT INTO note SELECT * FROM temporary_note`);
    db.exec(
      "DROP TABLE temporary_note; INSERT INTO note (uuid) VALUES ('b'); DELETE FROM note WHERE uuid = 'b'; COMMIT",
    );
    expectCaptured(observer);
    expect(taken(observer)).toEqual(["birth 2:b", "death 2:b key=2"]);
  });

  it("may move a table aside and keep the old one: capture is on the new one", async () => {
    const { db, observer } = await watched();
    db.exec("PRAGMA foreign_keys = OFF; BEGIN; ALTER TABLE note RENAME TO old_note");
    db.exec(`CREATE TABLE note ${NOTE_BODY}; INSERT INTO note SELECT * FROM old_note; COMMIT`);
    expectCaptured(observer);
    expect(triggersOf(observer, "old_note")).toEqual([]);
    expect(taken(observer)).toEqual([]);
  });

  it("may move a table aside and back without a transaction around it", async () => {
    const { db, observer } = await watched();
    db.exec("PRAGMA foreign_keys = OFF; ALTER TABLE note RENAME TO temporary_note");
    expect(triggersOf(observer, "temporary_note")).toHaveLength(NOTE_TRIGGERS);
    db.exec(`CREATE TABLE note ${NOTE_BODY}`);
    db.exec("INSERT OR IGNORE INTO note SELECT * FROM temporary_note; DROP TABLE temporary_note");
    expectCaptured(observer);
  });

  it("may drop, create and fill a table: the old rows are not new records", async () => {
    const { db, observer } = await watched();
    db.exec("PRAGMA foreign_keys = OFF; BEGIN; CREATE TEMP TABLE backup AS SELECT * FROM note; DROP TABLE note");
    db.exec(`CREATE TABLE note ${NOTE_BODY}; CREATE INDEX note_body ON note (body)`);
    db.exec("INSERT INTO note SELECT * FROM backup; UPDATE note SET title = 'u'; COMMIT");
    expectCaptured(observer);
    expect(taken(observer)).toEqual(["edit 2:a 1 hop=2"]);
  });

  it("may change other rows before it fills the table", async () => {
    const { db, observer } = await watched();
    db.exec("PRAGMA foreign_keys = OFF; BEGIN; CREATE TEMP TABLE backup AS SELECT * FROM note; DROP TABLE note");
    db.exec(
      `CREATE TABLE note ${NOTE_BODY}; UPDATE folder SET title = 'u'; INSERT INTO note SELECT * FROM backup; COMMIT`,
    );
    expectCaptured(observer);
    expect(taken(observer)).toEqual(["edit root 1", "edit inner 1"]);
  });

  it("may create a table twice before it inserts new rows", async () => {
    const { db, observer } = await watched();
    db.exec("PRAGMA foreign_keys = OFF; BEGIN; DROP TABLE note");
    db.exec(`CREATE TABLE note ${NOTE_BODY}; DROP TABLE note; CREATE TABLE copy ${NOTE_BODY}`);
    db.exec("ALTER TABLE copy RENAME TO note; INSERT INTO note (uuid) VALUES ('new'); COMMIT");
    expectCaptured(observer);
    expect(taken(observer)).toEqual(["birth 2:new"]);
  });

  it("is captured also after an attempt to create the table was rolled back, or had no effect", async () => {
    const { db, observer } = await watched();
    db.exec(`PRAGMA foreign_keys = OFF; BEGIN; DROP TABLE note; CREATE TABLE note ${NOTE_BODY}; ROLLBACK`);
    db.exec("BEGIN; ALTER TABLE note DROP COLUMN body; INSERT INTO note (uuid) VALUES ('b'); COMMIT");
    expect(taken(observer)).toEqual(["birth 2:b"]);
    db.exec(
      `BEGIN; CREATE TABLE other (x); CREATE TABLE IF NOT EXISTS folder (x); ALTER TABLE folder DROP COLUMN title`,
    );
    db.exec("INSERT INTO folder (uuid) VALUES ('c'); COMMIT");
    expect(taken(observer)).toEqual(["birth c"]);
  });

  it("may give a captured table's name to another captured table", async () => {
    const { db, observer } = await watched();
    db.exec("PRAGMA foreign_keys = OFF; BEGIN; DROP TABLE note; ALTER TABLE folder RENAME TO note; COMMIT");
    expect(verifyCapture(observer)).toEqual([]);
    db.exec("UPDATE note SET title = 'u' WHERE uuid = 'root'");
    expect(taken(observer)).toEqual(["edit root 1"]);
  });

  it("may drop the sync tables together with everything else", async () => {
    const { db, observer } = await watched();
    const tables = observer.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
    db.exec(
      `PRAGMA foreign_keys = OFF; BEGIN; ${tables
        .pluck()
        .all()
        .map((name) => `DROP TABLE ${name}`)
        .join(";")}; COMMIT`,
    );
    expect(tables.pluck().all()).toEqual([]);
  });

  it("that leaves a table without its identity leaves a gap", async () => {
    const { db, observer } = await watched();
    db.exec(
      "PRAGMA foreign_keys = OFF; BEGIN; DROP TABLE note; CREATE TABLE note (id INTEGER PRIMARY KEY, title TEXT); COMMIT",
    );
    expect(triggersOf(observer, "note")).toEqual([]);
    expect(verifyCapture(observer)).toMatchObject([{ model: 2, table: "note" }]);
  });
});

describe("a drop that would cascade", () => {
  it("is refused when TypeORM re-creates a table at run time, and no row is lost", async () => {
    const { path, db } = await library();
    const dataSource = await open(path, { entities: entities() });
    const runner = dataSource.createQueryRunner();
    const error = await runner
      .addColumn("folder", extraColumn())
      .catch((caught: { driverError: unknown }) => caught.driverError);
    expect(isTidemarkError(error, "TIDEMARK_CAPTURE_UNSAFE_DROP")).toBe(true);
    expect((error as Error).message).toContain("PRAGMA foreign_keys = OFF");
    // The copy refers to the table that it was made from, and would lose rows as well.
    expect((error as { details: unknown }).details).toEqual({
      table: "folder",
      affected: ["folder", "note", "temporary_folder"],
    });
    expectCaptured(db);
    expect(taken(db)).toEqual([]);
  });

  it("is rolled back with the transaction that tried it", async () => {
    const { path, db } = await library();
    const dataSource = await open(path, { entities: entities() });
    await expect(
      dataSource.transaction(async (manager) => {
        await manager.query("UPDATE note SET title = 'u'");
        await manager.queryRunner!.addColumn("folder", extraColumn());
      }),
    ).rejects.toThrow(/was not dropped/);
    expectCaptured(db);
    expect(taken(db)).toEqual([]);
    expect(db.prepare("SELECT name FROM sqlite_master WHERE name LIKE 'temporary%'").all()).toEqual([]);
  });

  it("is allowed with foreign keys off, for an empty table, and for one that nobody refers to", async () => {
    const { db, observer } = await watched();
    db.pragma("foreign_keys = ON");
    db.exec("DROP TABLE note");
    expect(() => db.exec("DROP TABLE folder")).toThrow(/was not dropped/);
    db.exec("DELETE FROM folder; DROP TABLE folder");
    expect(taken(observer)).toEqual(["death inner key=2", "death root key=1"]);
  });

  it("is refused for a local table whose rows synced records refer to", async () => {
    const { db, observer } = await watched();
    db.exec(
      "CREATE TABLE place (id INTEGER PRIMARY KEY); CREATE TABLE shelf (id INTEGER PRIMARY KEY, place REFERENCES place ON DELETE CASCADE)",
    );
    db.exec("INSERT INTO place VALUES (1); INSERT INTO shelf VALUES (1, 1)");
    db.exec("ALTER TABLE note ADD COLUMN shelf REFERENCES shelf (id) ON DELETE SET NULL");
    db.pragma("foreign_keys = ON");
    expect(() => db.exec("DROP TABLE place")).toThrow(/"note"/);
    db.exec("CREATE TABLE lonely (id INTEGER PRIMARY KEY); INSERT INTO lonely VALUES (1); DROP TABLE lonely");
    expectCaptured(observer);
  });
});
