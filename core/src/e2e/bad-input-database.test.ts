import { chmodSync, existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Transport } from "@tidemark/plugin-api";
import { API_VERSION, definePlugin, transports } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import { DataSource, type DataSourceOptions } from "typeorm";
import { describe, expect, it, onTestFinished } from "vitest";
import { createTidemark } from "../kernel/compose.js";
import type { Tidemark } from "../kernel/tidemark.js";
import { openPlain, temporaryFile, temporaryFolder } from "../storage/connections.test-support.js";
import { tidemarkDataSourceOptions } from "../storage/data-source-options.js";
import type { Sqlite } from "../storage/database.js";
import { FORMAT } from "../storage/schema.js";
import { ManualClock } from "../testing/manual-clock.js";
import { declarations, entities, Folder, testDevice } from "./bad-input.support.js";
import { TEST_LIBRARY, TEST_SECRET } from "./scripted-peer.support.js";

interface Said {
  readonly dataSource: DataSource;
  readonly library?: string;
  readonly device?: string;
  readonly clock?: Clock;
  readonly transport?: Transport;
}

/** A kernel that founds a library on this data source. */
function kernelOn({ dataSource, library = TEST_LIBRARY, device = "a", clock, transport }: Said): Tidemark {
  const tidemark = createTidemark({
    dataSource,
    entities: declarations,
    plugins:
      transport === undefined
        ? []
        : [
            definePlugin({
              manifest: { id: "transport", version: "1.0.0", apiVersion: API_VERSION },
              activate({ services, subscriptions }) {
                subscriptions.push(services.get(transports).register(transport));
              },
            }),
          ],
    settings: {
      library: { id: library, secret: TEST_SECRET, role: "found" },
      device: { id: device, name: device },
    },
    env: {},
    clock: clock ?? new ManualClock(),
  });
  onTestFinished(() => tidemark.stop());
  return tidemark;
}

function sourceOf(database: string, more: Partial<DataSourceOptions> = {}): DataSource {
  const dataSource = new DataSource(
    tidemarkDataSourceOptions({ type: "better-sqlite3", database, entities, synchronize: true, ...(more as object) }),
  );
  onTestFinished(async () => {
    if (dataSource.isInitialized) await dataSource.destroy();
  });
  return dataSource;
}

/** Files of this folder that the process has open; `null` where the system does not tell. */
function openFiles(folder: string): readonly string[] | null {
  if (!existsSync("/proc/self/fd")) return null;
  return readdirSync("/proc/self/fd").flatMap((number) => {
    try {
      const file = readlinkSync(`/proc/self/fd/${number}`);
      return file.startsWith(folder) ? [file] : [];
    } catch {
      return []; // The one by which the folder was listed.
    }
  });
}

/** Works on the database from outside, with nothing left open behind. */
function inPassing<Result>(path: string, work: (db: Sqlite) => Result): Result {
  const db = new Database(path);
  try {
    return work(db);
  } finally {
    db.close();
  }
}

/** Checks that the start is refused with this error, and that nothing is left open. */
async function refuses(folder: string, said: Said, code: string): Promise<void> {
  const before = openFiles(folder);
  const clock = new ManualClock();
  const tidemark = kernelOn({ clock, ...said });
  const states: string[] = [];
  tidemark.events.on("kernelStateChanged", ({ state, reason }) => states.push(`${state} ${reason ?? ""}`));
  const error = await tidemark.start().catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code, what: expect.any(String), why: expect.any(String), advice: expect.any(String) });
  expect(tidemark.state).toBe("failed");
  expect(states.at(-1)).toContain((error as Error).message);
  expect(openFiles(folder)).toEqual(before);
  expect(clock.pendingTimers).toBe(0);
}

describe("a start on a database that can't be used", () => {
  it("is refused when the path is a directory, and works once that is gone", async () => {
    const folder = temporaryFolder();
    const database = join(folder, "library.db");
    mkdirSync(database);
    const dataSource = sourceOf(database);
    await refuses(folder, { dataSource }, "TIDEMARK_STORAGE_DIRECTORY");
    rmSync(database, { recursive: true });
    const again = kernelOn({ dataSource });
    await again.start();
    await dataSource.getRepository(Folder).save({ uuid: "f1", name: "root", parent: null });
    expect(await again.digest("Folder")).toMatchObject({ rows: 1 });
    await again.stop();
    expect(openFiles(folder) ?? []).toEqual([]);
  });

  it("is refused when the file is no database, which stays as it is", async () => {
    const folder = temporaryFolder();
    const database = join(folder, "library.db");
    writeFileSync(database, "These are the minutes of the meeting of the allotment society. ".repeat(100));
    await refuses(folder, { dataSource: sourceOf(database) }, "TIDEMARK_STORAGE_NOT_A_DATABASE");
    expect(readdirSync(folder)).toEqual(["library.db"]);
  });

  it("is refused when the file or the data source is read-only", async () => {
    const folder = temporaryFolder();
    const database = join(folder, "library.db");
    openPlain(database).exec("CREATE TABLE t (a)");
    await refuses(
      folder,
      { dataSource: sourceOf(database, { readonly: true } as never) },
      "TIDEMARK_STORAGE_READ_ONLY",
    );
    chmodSync(folder, 0o777);
    chmodSync(database, 0o444);
    const root = process.geteuid?.() === 0;
    if (root) process.seteuid?.(65_534);
    try {
      await refuses(folder, { dataSource: sourceOf(database) }, "TIDEMARK_STORAGE_READ_ONLY");
    } finally {
      if (root) process.seteuid?.(0);
    }
  });

  it("is refused when the database is in memory", async () => {
    await refuses("/nowhere", { dataSource: sourceOf(":memory:") }, "TIDEMARK_STORAGE_IN_MEMORY");
  });

  it("is refused when its text is UTF-16, and leaves it as it is", async () => {
    for (const encoding of ["UTF-16le", "UTF-16be"]) {
      const folder = temporaryFolder();
      const database = join(folder, "library.db");
      const plain = openPlain(database);
      plain.pragma(`encoding = "${encoding}"`);
      plain.exec("CREATE TABLE t (a); INSERT INTO t VALUES ('ü')");
      await refuses(folder, { dataSource: sourceOf(database) }, "TIDEMARK_STORAGE_ENCODING");
      expect(plain.prepare("SELECT name FROM sqlite_master").pluck().all()).toEqual(["t"]);
      expect(plain.pragma("journal_mode", { simple: true })).toBe("delete");
    }
  });

  it("is refused when the application makes new databases UTF-16", async () => {
    const folder = temporaryFolder();
    const utf16 = { prepareDatabase: (db: { pragma(text: string): void }) => db.pragma("encoding = 'UTF-16le'") };
    const dataSource = sourceOf(join(folder, "library.db"), utf16 as never);
    await refuses(folder, { dataSource }, "TIDEMARK_STORAGE_ENCODING");
  });

  it("is refused when somebody keeps it locked, and works when they have let go", async () => {
    const database = temporaryFile();
    const other = openPlain(database);
    other.exec("CREATE TABLE t (a); BEGIN EXCLUSIVE");
    const clock = new ManualClock();
    const dataSource = sourceOf(database);
    const outcome = kernelOn({ dataSource, clock })
      .start()
      .catch((error: unknown) => error);
    await clock.advance(31_000);
    expect(await outcome).toMatchObject({ code: "TIDEMARK_STORAGE_LOCKED" });
    expect(clock.pendingTimers).toBe(0);
    other.exec("COMMIT");
    await kernelOn({ dataSource }).start();
  });

  it("waits while somebody keeps it locked for less long", async () => {
    const database = temporaryFile();
    const other = openPlain(database);
    other.exec("CREATE TABLE t (a); BEGIN EXCLUSIVE");
    const clock = new ManualClock();
    const tidemark = kernelOn({ dataSource: sourceOf(database), clock });
    const started = tidemark.start();
    await clock.advance(20_000);
    expect(tidemark.state).toBe("starting");
    other.exec("COMMIT");
    await clock.advance(100);
    await started;
  });

  it("is refused when its sync tables are of a newer version, and changes nothing", async () => {
    const { database, dispose, tidemark } = await testDevice("a", { database: temporaryFile() });
    await tidemark.start();
    await dispose();
    const schema = () => inPassing(database, (db) => db.prepare("SELECT name, sql FROM sqlite_master").all());
    const setFormat = (format: number) =>
      inPassing(database, (db) => db.prepare("UPDATE tidemark_state SET format = ?").run(BigInt(format)));
    setFormat(FORMAT + 1);
    const before = schema();
    await refuses(database, { dataSource: sourceOf(database) }, "TIDEMARK_STORAGE_NEWER_FORMAT");
    expect(schema()).toEqual(before);
    setFormat(FORMAT);
    await kernelOn({ dataSource: sourceOf(database) }).start();
  });

  it("is refused when it belongs to another library", async () => {
    const { database, dispose, tidemark } = await testDevice("a", { database: temporaryFile() });
    await tidemark.start();
    await dispose();
    const dataSource = sourceOf(database);
    await refuses(database, { dataSource, library: "another" }, "TIDEMARK_DATABASE_OF_OTHER_LIBRARY");
    await kernelOn({ dataSource }).start();
  });

  it("is refused when the data source is of another type", async () => {
    // TypeORM would look for the driver of PostgreSQL as soon as it is constructed.
    const dataSource = Object.assign(sourceOf(temporaryFile()), { options: { type: "postgres" } });
    await refuses("/nowhere", { dataSource }, "TIDEMARK_STORAGE_DRIVER");
    expect(() => tidemarkDataSourceOptions({ type: "postgres" } as never)).toThrow("better-sqlite3");
    expect(() => kernelOn({ dataSource: {} as DataSource })).toThrow("not a TypeORM data source");
  });

  it("gives everything back when a transport can't start, and leaves the data source as it found it", async () => {
    const folder = temporaryFolder();
    const database = join(folder, "library.db");
    const stopped: string[] = [];
    const transport: Transport = {
      name: "broken",
      start: () =>
        Promise.reject(
          Object.assign(new Error("no such port"), { code: "TIDEMARK_TEST", what: "a", why: "b", advice: "c" }),
        ),
      stop: async () => void stopped.push("broken"),
    };
    const closed = sourceOf(database);
    await refuses(folder, { dataSource: closed, transport }, "TIDEMARK_TEST");
    expect(closed.isInitialized).toBe(false);
    expect(stopped).toEqual(["broken"]);

    const open = await sourceOf(database).initialize();
    // SQLite keeps the files of a closed connection for as long as another one of the process has locks.
    await refuses("/elsewhere", { dataSource: open, transport }, "TIDEMARK_TEST");
    expect(open.isInitialized).toBe(true);
    const again = kernelOn({ dataSource: open });
    await again.start();
    await again.stop();
    await open.destroy();
    expect(openFiles(folder) ?? []).toEqual([]);
  });
});
