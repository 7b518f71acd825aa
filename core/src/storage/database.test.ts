import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DataSource } from "typeorm";
import { describe, expect, it, onTestFinished } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { noteSource, openPlain, realClock, temporaryFile, temporaryFolder } from "./connections.test-support.js";
import { applicationConnection, openReaderConnection, openWriterConnection, type Sqlite } from "./database.js";

async function open(dataSource: DataSource): Promise<Sqlite> {
  const connection = await openWriterConnection({ dataSource, clock: realClock });
  onTestFinished(() => void connection.close());
  return connection;
}

const pragma = (connection: Sqlite, name: string) => connection.pragma(name, { simple: true });

/** Runs `action` as a user whom permissions bind; root may write everywhere. */
async function unprivileged(action: () => Promise<void>): Promise<void> {
  const root = process.geteuid?.() === 0;
  if (root) process.seteuid?.(65_534);
  try {
    await action();
  } finally {
    if (root) process.seteuid?.(0);
  }
}

describe("the kernel's connections", () => {
  it("opens the writer on the write-ahead log with its own settings, before the data source or after", async () => {
    const dataSource = noteSource(join(temporaryFolder(), "new", "folder", "library.db"));
    const before = await open(dataSource);
    await dataSource.initialize();
    onTestFinished(() => dataSource.destroy());
    const after = await open(dataSource);
    for (const connection of [before, after]) {
      expect(pragma(connection, "journal_mode")).toBe("wal");
      expect(pragma(connection, "synchronous")).toBe(1);
      expect(pragma(connection, "foreign_keys")).toBe(1);
      expect(pragma(connection, "recursive_triggers")).toBe(1);
      expect(pragma(connection, "busy_timeout")).toBe(5);
      expect(pragma(connection, "cache_size")).toBe(-6_144);
    }
    await dataSource.query("INSERT INTO note (text) VALUES ('a')");
    expect(after.prepare("SELECT text FROM note").pluck().all()).toEqual(["a"]);
  });

  it("switches a database to the write-ahead log that the application has open and idle", async () => {
    const dataSource = await noteSource(temporaryFile()).initialize();
    onTestFinished(() => dataSource.destroy());
    expect(pragma(applicationConnection(dataSource), "journal_mode")).toBe("delete");
    await open(dataSource);
    await dataSource.query("INSERT INTO note (text) VALUES ('a')");
    expect(pragma(applicationConnection(dataSource), "journal_mode")).toBe("wal");
  });

  it("opens readers that can't write", async () => {
    const dataSource = noteSource(temporaryFile());
    const writer = await open(dataSource);
    writer.exec("CREATE TABLE t (a)");
    const reader = await openReaderConnection({ dataSource, clock: realClock });
    onTestFinished(() => void reader.close());
    expect(reader.prepare("SELECT * FROM t").all()).toEqual([]);
    expect(() => reader.exec("INSERT INTO t VALUES (1)")).toThrow("readonly");
  });

  it("gives its connections the application's functions, and does not watch them", async () => {
    const dataSource = noteSource(temporaryFile(), async (db) => {
      await Promise.resolve();
      db.function("shout", (text: string) => text.toUpperCase());
      db.pragma("busy_timeout = 9000");
    });
    const connection = await open(dataSource);
    expect(connection.prepare("SELECT shout('a')").pluck().get()).toBe("A");
    expect(pragma(connection, "busy_timeout")).toBe(5);
    expect(Object.hasOwn(connection, "prepare")).toBe(false);
    await dataSource.initialize();
    onTestFinished(() => dataSource.destroy());
    const application = applicationConnection(dataSource);
    expect(application.prepare("SELECT shout('b')").pluck().get()).toBe("B");
    expect(pragma(application, "recursive_triggers")).toBe(1);
    expect(pragma(application, "foreign_keys")).toBe(1);
    expect(Object.hasOwn(application, "prepare")).toBe(true);
  });

  it("refuses what can't work, and says what it is", async () => {
    const folder = temporaryFolder();
    const text = join(folder, "text.db");
    writeFileSync(text, "not a database, but long enough to look like the start of one: ".repeat(20));
    mkdirSync(join(folder, "folder.db"));
    const source = (path: string, options: object = {}) => {
      const dataSource = noteSource(path);
      return Object.assign(dataSource, { options: { ...dataSource.options, ...options } });
    };
    const refusals: readonly (readonly [DataSource, string])[] = [
      [source("x", { type: "postgres" }), "TIDEMARK_STORAGE_DRIVER"],
      [source(":memory:"), "TIDEMARK_STORAGE_IN_MEMORY"],
      [source(" "), "TIDEMARK_STORAGE_IN_MEMORY"],
      [source(join(folder, "folder.db")), "TIDEMARK_STORAGE_DIRECTORY"],
      [source(text), "TIDEMARK_STORAGE_NOT_A_DATABASE"],
      [source(join(text, "library.db")), "TIDEMARK_STORAGE_CANNOT_OPEN"],
      [source(join(folder, "missing.db"), { fileMustExist: true }), "TIDEMARK_STORAGE_CANNOT_OPEN"],
      [source(join(folder, "a.db"), { readonly: true }), "TIDEMARK_STORAGE_READ_ONLY"],
      [
        noteSource(join(folder, "b.db"), () => {
          throw new Error("no such extension");
        }),
        "TIDEMARK_STORAGE_CANNOT_OPEN",
      ],
    ];
    for (const [dataSource, code] of refusals) await expect(open(dataSource)).rejects.toMatchObject({ code });
    expect(() => applicationConnection(noteSource(text))).toThrow("not open yet");
  });

  it("refuses a file or a folder that it may not write", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "library.db");
    openPlain(path).exec("CREATE TABLE t (a)");
    chmodSync(folder, 0o555);
    chmodSync(path, 0o666);
    await unprivileged(async () => {
      await expect(open(noteSource(path))).rejects.toMatchObject({ code: "TIDEMARK_STORAGE_READ_ONLY" });
      await expect(open(noteSource(join(folder, "new", "a.db")))).rejects.toMatchObject({
        code: "TIDEMARK_STORAGE_READ_ONLY",
      });
    });
    chmodSync(folder, 0o777);
    chmodSync(path, 0o444);
    await unprivileged(async () => {
      await expect(open(noteSource(path))).rejects.toMatchObject({ code: "TIDEMARK_STORAGE_READ_ONLY" });
    });
  });

  it("waits for a lock of somebody else, and gives up after the limit", async () => {
    const path = temporaryFile();
    const other = openPlain(path);
    other.exec("CREATE TABLE t (a); BEGIN EXCLUSIVE");
    const clock = new ManualClock();
    const given = openWriterConnection({ dataSource: noteSource(path), clock, lockTimeoutMs: 3_000 }).catch(
      (error: unknown) => error,
    );
    await clock.advance(3_100);
    expect(await given).toMatchObject({ code: "TIDEMARK_STORAGE_LOCKED", details: { path, waitedMs: 3_000 } });

    const patient = openWriterConnection({ dataSource: noteSource(path), clock });
    await clock.advance(1_000);
    other.exec("COMMIT");
    await clock.advance(100);
    (await patient).close();
  });
});
