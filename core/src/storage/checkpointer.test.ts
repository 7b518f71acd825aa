import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { noopLogger } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { Checkpointer, type CheckpointerOptions } from "./checkpointer.js";
import type { Sqlite } from "./database.js";

let directory: string;
let path: string;
let db: Sqlite;
let checkpointer: Checkpointer;
let clock: ManualClock;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-checkpointer-"));
  path = join(directory, "a.sqlite");
  db = new Database(path);
  db.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (x BLOB)");
  clock = new ManualClock();
  checkpointer = create();
});

function create(options: Partial<CheckpointerOptions> = {}): Checkpointer {
  return new Checkpointer({
    path,
    key: undefined,
    ownDriver: false,
    connections: [db],
    clock,
    logger: noopLogger,
    ...options,
  });
}

afterEach(async () => {
  vi.restoreAllMocks();
  await checkpointer.close();
  db.close();
  rmSync(directory, { recursive: true, force: true });
});

const limitOf = (connection: Sqlite) => connection.pragma("wal_autocheckpoint", { simple: true });
const limit = () => limitOf(db);

/** As many commits at once as begin a spell. */
function beginSpell(): void {
  for (let commits = 0; commits < 200; commits++) checkpointer.committed();
}

/** The threads that are started from here on. */
function watchThreads(): Worker[] {
  return vi.spyOn(Worker.prototype, "unref").mock.contexts as Worker[];
}

it("takes checkpoints over from the writing connection, and gives them back", async () => {
  await checkpointer.during(async () => {
    expect(limit()).toBe(1_000);
    const insert = db.prepare("INSERT INTO t VALUES (zeroblob(40000))");
    for (let slice = 0; slice < 40; slice++) {
      await checkpointer.room();
      // Some 1,000 pages: without a checkpoint the log would soon hold more than the limit.
      db.transaction(() => {
        for (let row = 0; row < 100; row++) insert.run();
      })();
      // The writer gives the loop a turn between two slices; what the thread says arrives in it.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(limit()).toBe(0);
    // It asks again as long as it is told that much is waiting.
    while (checkpointer.checkpoints < 2) {
      await checkpointer.room();
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  expect(limit()).toBe(1_000);
  const [{ log, checkpointed }] = db.pragma("wal_checkpoint(PASSIVE)") as [{ log: number; checkpointed: number }];
  expect(checkpointed).toBe(log);
  expect(db.prepare("SELECT count(*) FROM t").pluck().get()).toBe(4_000);
});

it("keeps a slice that is to run alone until the checkpoint is done, and no other", async () => {
  const threads = watchThreads();
  const asked = vi.spyOn(Worker.prototype, "postMessage").mockImplementation(() => {});
  await checkpointer.during(async () => {
    for (let slice = 0; slice < 3; slice++) await checkpointer.room({ alone: true });
    let waits = true;
    const waiting = checkpointer.room({ alone: true }).then(() => {
      waits = false;
    });
    await checkpointer.room();
    expect([asked.mock.calls.length, waits]).toEqual([1, true]);
    threads[0]?.emit("message", { ahead: 0, pages: 10 });
    await waiting;
    expect(waits).toBe(false);
  });
});

it("gives the limit back when the work fails, and asks for nothing outside of it", async () => {
  await expect(
    checkpointer.during(async () => {
      for (let slice = 0; slice < 12; slice++) await checkpointer.room();
      expect(limit()).toBe(0);
      throw new Error("the peer is gone");
    }),
  ).rejects.toThrow("the peer is gone");
  expect(limit()).toBe(1_000);
  for (let slice = 0; slice < 12; slice++) await checkpointer.room();
  expect(limit()).toBe(1_000);
});

it("leaves an application with a driver of its own to SQLite", async () => {
  const other = create({ path: "unused", ownDriver: true });
  await other.during(async () => {
    for (let slice = 0; slice < 12; slice++) await other.room();
    expect(limit()).toBe(1_000);
  });
});

it("takes checkpoints over while commits come thick and fast, and lets the log begin anew meanwhile", async () => {
  const insert = db.prepare("INSERT INTO t VALUES (zeroblob(4000))");
  const commit = () => {
    insert.run();
    checkpointer.committed();
  };
  // As many, but not so fast.
  for (let commits = 0; commits < 400; commits++) {
    commit();
    await clock.advance(10);
  }
  expect(limit()).toBe(1_000);

  for (let commits = 0; commits < 200; commits++) commit();
  expect(limit()).toBe(0);
  const lengths: number[] = [];
  const pagesInLog = () => (db.pragma("wal_checkpoint(NOOP)") as [{ log: number }])[0].log;
  const hasBegunAnew = () => lengths.some((length, index) => length < (lengths[index - 1] ?? 0));
  while (!hasBegunAnew() && lengths.length < 20_000) {
    commit();
    lengths.push(pagesInLog());
    await clock.advance(1);
  }
  expect(hasBegunAnew()).toBe(true);
  expect(Math.max(...lengths)).toBeGreaterThan(3_000);
  expect(checkpointer.checkpoints).toBeGreaterThan(0);

  await clock.advance(5_000);
  expect(limit()).toBe(0);
  await clock.advance(5_000);
  expect(limit()).toBe(1_000);
  expect(clock.pendingTimers).toBe(0);
});

it("ends a spell while the application walks through a result, and gives its limit back afterwards", async () => {
  const application = new Database(path);
  try {
    checkpointer = create({ connections: [db, application] });
    db.exec("INSERT INTO t VALUES (1), (2)");
    beginSpell();
    expect([db, application].map(limitOf)).toEqual([0, 0]);
    const rows = application.prepare("SELECT x FROM t").iterate();
    rows.next();
    await clock.advance(5_000);
    expect(limit()).toBe(1_000);
    checkpointer.committed();
    rows.return?.();
    expect(limitOf(application)).toBe(0);
    checkpointer.committed();
    expect(limitOf(application)).toBe(1_000);
  } finally {
    application.close();
  }
});

it("gives each connection the limit back that it had", async () => {
  const application = new Database(path);
  try {
    checkpointer = create({ connections: [db, application] });
    application.pragma("wal_autocheckpoint = 77");
    beginSpell();
    expect([db, application].map(limitOf)).toEqual([0, 0]);
    await clock.advance(5_000);
    expect([db, application].map(limitOf)).toEqual([1_000, 77]);

    // The next spell begins before the application has got back what it had.
    beginSpell();
    const rows = application.prepare("SELECT 1 UNION SELECT 2").iterate();
    rows.next();
    await clock.advance(5_000);
    beginSpell();
    rows.return?.();
    checkpointer.committed();
    expect([db, application].map(limitOf)).toEqual([0, 0]);
    await checkpointer.close();
    expect([db, application].map(limitOf)).toEqual([1_000, 77]);

    application.pragma("wal_autocheckpoint = 0");
    beginSpell();
    await checkpointer.close();
    expect([db, application].map(limitOf)).toEqual([1_000, 0]);
  } finally {
    application.close();
  }
});

it("lets go of who waits when the end of the log can't be written", async () => {
  const threads = watchThreads();
  const pragma = db.pragma.bind(db);
  const refused = vi.spyOn(db, "pragma").mockImplementation((source, options) => {
    if (source.startsWith("wal_checkpoint")) throw new Error("disk I/O error");
    return pragma(source, options);
  });
  beginSpell();
  threads[0]?.emit("message", { ahead: 5_000, pages: 5_000 });
  const room = checkpointer.room();
  refused.mockClear();
  threads[0]?.emit("message", { ahead: 0, pages: 5_000 });
  expect(refused).toHaveBeenCalled();
  await room;
});

it("asks the next thread after one that has failed", async () => {
  const paths = [join(directory, "missing", "a.sqlite"), path];
  checkpointer = new Checkpointer({
    get path() {
      return paths.shift() ?? path;
    },
    key: undefined,
    ownDriver: false,
    connections: [db],
    clock,
    logger: noopLogger,
  });
  beginSpell();
  checkpointer.committed();
  expect(limit()).toBe(0);
  while (limit() === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(checkpointer.checkpoints).toBe(0);
  await clock.advance(10_000);

  beginSpell();
  checkpointer.committed();
  expect(limit()).toBe(0);
  while (checkpointer.checkpoints === 0) await new Promise((resolve) => setImmediate(resolve));
});

it("takes nothing that an ended thread still says for its successor's", async () => {
  const threads = watchThreads();
  await checkpointer.during(async () => {
    for (let slice = 0; slice < 10; slice++) await checkpointer.room();
  });
  beginSpell();
  expect(threads).toHaveLength(2);
  threads[0]?.emit("error", new Error("at last"));
  expect(limit()).toBe(0);
  threads[0]?.emit("message", { ahead: 5_000, pages: 5_000 });
  expect(checkpointer.checkpoints).toBe(0);
});

it("writes only the last few pages of the log on the loop, and not at each answer of the thread", async () => {
  const threads = watchThreads();
  const pragmas = vi.spyOn(db, "pragma");
  const written = () => pragmas.mock.calls.filter(([source]) => source === "wal_checkpoint(PASSIVE)").length;
  const answer = (ahead: number, pages: number) => threads[0]?.emit("message", { ahead, pages });
  beginSpell();
  // Some reader holds it back.
  for (let pages = 3_001; pages < 4_000; pages += 100) answer(pages - 1_000, pages);
  expect(written()).toBe(0);
  // Others have written while the thread was at work.
  db.exec("INSERT INTO t VALUES (zeroblob(1000000))");
  answer(0, 4_000);
  expect(written()).toBe(0);

  db.pragma("wal_checkpoint(TRUNCATE)");
  db.exec("INSERT INTO t VALUES (zeroblob(100000))");
  // A reader at the end of the log lets all of it into the file, and doesn't let it begin anew.
  for (let pages = 4_000; pages <= 7_000; pages += 100) answer(0, pages);
  expect(written()).toBe(1);
  answer(0, 7_001);
  expect(written()).toBe(2);
  answer(0, 10);
  answer(0, 3_001);
  expect(written()).toBe(3);
});
