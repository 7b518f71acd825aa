import { describe, expect, it, onTestFinished } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import {
  noAccount,
  noGuard,
  openNoteSource,
  openPlain,
  realClock,
  recordingLogger,
  temporaryFile,
} from "./connections.test-support.js";
import { applicationConnection, openWriterConnection, type Sqlite } from "./database.js";
import { Fence } from "./fence.js";
import { Gate } from "./gate.js";
import { migrateSyncTables } from "./schema.js";
import { Writer, type WriterAccount, type WriterOptions } from "./writer.js";

function openWriter(options: Partial<WriterOptions> = {}) {
  const path = temporaryFile();
  const connection = openPlain(path);
  connection.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; CREATE TABLE t (a UNIQUE)",
  );
  const clock = new ManualClock();
  const logger = recordingLogger();
  const gate = new Gate({ guard: noGuard, logger });
  const application = openPlain(path, { timeout: 0 });
  gate.watch(application);
  const writer = new Writer({ connection, gate, clock, logger, account: noAccount, ...options });
  const insert = (value: number) => writer.run({ name: `insert ${value}`, body: (db) => add(db, value) });
  const rows = () => application.prepare("SELECT a FROM t ORDER BY rowid").pluck().all();
  return { path, connection, clock, logger, gate, application, writer, insert, rows };
}

function add(db: Sqlite, value: number): number {
  db.prepare("INSERT INTO t VALUES (?)").run(BigInt(value));
  return value;
}

const code = (promise: Promise<unknown>) =>
  promise.then(
    () => "resolved",
    (error: unknown) => (error as { code?: string }).code,
  );

describe("the writer", () => {
  it("runs each job in a transaction of its own, in order, high priority first, with a turn in between", async () => {
    const { writer, clock, rows, application } = openWriter();
    const turns: string[] = [];
    const job = (value: number, priority: "high" | "normal") =>
      writer.run({
        name: "job",
        priority,
        body: (db) => {
          expect(db.inTransaction).toBe(true);
          turns.push(`slice ${value}`);
          // Proves that the loop turns between two slices.
          setImmediate(() => turns.push("turn"));
          return add(db, value);
        },
      });
    const jobs = [job(1, "normal"), job(2, "normal"), job(3, "high"), job(4, "high")];
    expect(rows()).toEqual([]);
    expect(writer.queued).toBe(4);
    await clock.settle();
    expect(await Promise.all(jobs)).toEqual([1, 2, 3, 4]);
    expect(rows()).toEqual([3, 4, 1, 2]);
    expect(turns.filter((turn) => turn !== "turn")).toEqual(["slice 3", "slice 4", "slice 1", "slice 2"]);
    expect(turns.indexOf("turn")).toBe(1);
    expect(application.inTransaction).toBe(false);
  });

  it("tells how long a transaction took before its outcome, and nothing of one that has failed", async () => {
    const { writer, clock } = openWriter();
    const told: (number | string)[] = [];
    const took = (durationMs: number) => void told.push(durationMs);
    const job = writer.run({ name: "job", took, body: (db) => add(db, 1) }).then(() => told.push("done"));
    const failed = code(writer.run({ name: "job", took, body: (db) => add(db, 1) }));
    await clock.settle();
    await Promise.all([job, failed]);
    expect(told).toEqual([0, "done"]);
  });

  it("begins in the turn of the call where that is asked for, unless somebody waits or the gate is closed", async () => {
    const { writer, clock, rows, application } = openWriter();
    const insertAtOnce = (value: number) => writer.run({ name: "job", atOnce: true, body: (db) => add(db, value) });
    const first = insertAtOnce(1);
    expect(rows()).toEqual([1]);
    const later = [writer.run({ name: "job", body: (db) => add(db, 2) }), insertAtOnce(3)];
    expect(rows()).toEqual([1]);
    await clock.settle();
    expect(rows()).toEqual([1, 2, 3]);

    application.exec("BEGIN");
    const kept = insertAtOnce(4);
    application.exec("COMMIT");
    expect(rows()).toEqual([1, 2, 3]);
    await clock.settle();
    expect(rows()).toEqual([1, 2, 3, 4]);
    expect(await Promise.all([first, ...later, kept])).toEqual([1, 2, 3, 4]);
  });

  it("rolls back and rejects when the body throws, returns a promise, or ends the transaction; and goes on", async () => {
    const { writer, clock, rows, insert, connection } = openWriter();
    const failed = (body: (db: Sqlite) => unknown) => code(writer.run({ name: "bad", body }));
    const outcomes = [
      failed((db) => {
        add(db, 1);
        throw Object.assign(new Error("own"), { code: "OWN" });
      }),
      failed((db) => {
        add(db, 2);
        return Promise.reject(new Error("never seen"));
      }),
      failed((db) => {
        add(db, 3);
        // As some errors of the disk do, this one ends the transaction, and the body goes on without noticing.
        expect(() => db.exec("INSERT OR ROLLBACK INTO t VALUES (3)")).toThrow("UNIQUE");
      }),
      failed((db) => {
        add(db, 4);
        add(db, 4);
      }),
    ];
    const last = insert(5);
    await clock.settle();
    expect(await Promise.all(outcomes)).toEqual([
      "OWN",
      "TIDEMARK_STORAGE_ASYNC_BODY",
      "TIDEMARK_STORAGE_TRANSACTION_LOST",
      "SQLITE_CONSTRAINT_UNIQUE",
    ]);
    expect(await last).toBe(5);
    expect(rows()).toEqual([5]);
    expect(connection.inTransaction).toBe(false);
  });

  it("rejects with the cause when COMMIT fails, and stays usable", async () => {
    const { writer, clock, connection, insert, rows } = openWriter();
    connection.exec("CREATE TABLE child (p REFERENCES parent (id)); CREATE TABLE parent (id INTEGER PRIMARY KEY)");
    const dangling = writer
      .run({
        name: "dangling",
        body: (db) => db.exec("PRAGMA defer_foreign_keys = ON; INSERT INTO child VALUES (7)"),
      })
      .catch((error: unknown) => error);
    const next = insert(1);
    await clock.settle();
    expect(await dangling).toMatchObject({
      code: "TIDEMARK_STORAGE_COMMIT_FAILED",
      cause: { code: "SQLITE_CONSTRAINT_FOREIGNKEY" },
    });
    await next;
    expect(rows()).toEqual([1]);
    expect(connection.prepare("SELECT count(*) FROM child").pluck().get()).toBe(0);
  });

  it("rejects with the cause when the disk is full, and stays usable", async () => {
    const { writer, clock, connection, insert, rows } = openWriter();
    connection.pragma(`max_page_count = ${(connection.pragma("page_count", { simple: true }) as number) + 3}`);
    const blob = "INSERT INTO t VALUES (randomblob(100000))";
    const inBody = writer.run({ name: "large", body: (db) => db.exec(blob) }).catch((error: unknown) => error);
    const next = insert(1);
    await clock.settle();
    expect(await inBody).toMatchObject({ code: "TIDEMARK_STORAGE_FULL", cause: { code: "SQLITE_FULL" } });
    await next;
    expect(rows()).toEqual([1]);
    connection.pragma("max_page_count = 1000000");
    const roomAgain = writer.run({ name: "large", body: (db) => db.exec(blob) });
    await clock.settle();
    await roomAgain;
    expect(rows()).toHaveLength(2);
  });

  it("waits while another process holds the lock, more slowly each time, reports it, and gets through", async () => {
    const overdue: string[] = [];
    const account: WriterAccount = { ...noAccount, overdue: (holder, waitMs) => overdue.push(`${holder} ${waitMs}`) };
    const { path, clock, insert, rows, logger } = openWriter({ account, acquireTimeoutMs: 300 });
    const foreign = openPlain(path);
    foreign.exec("BEGIN IMMEDIATE; INSERT INTO t VALUES (0)");
    const given = insert(1);
    await clock.settle();
    expect(clock.pendingTimers).toBe(1);
    await clock.advance(299);
    expect(logger.lines).toEqual([]);
    await clock.advance(60);
    expect(logger.lines).toEqual(["warn: Writes wait"]);
    expect(overdue).toEqual([expect.stringMatching(/^insert 1 3\d\d$/)]);
    foreign.exec("COMMIT");
    await clock.advance(50);
    expect(await given).toBe(1);
    expect(rows()).toEqual([0, 1]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("keeps out while the application is in a transaction, and comes in when it rests", async () => {
    const { clock, insert, application, rows } = openWriter();
    application.exec("BEGIN; SELECT * FROM t");
    const given = insert(1);
    await clock.advance(4);
    expect(rows()).toEqual([]);
    application.exec("INSERT INTO t VALUES (0)");
    application.exec("COMMIT");
    // It has not waited for long, so it comes in the next turn and takes nothing of the application's time.
    expect(rows()).toEqual([0]);
    await clock.settle();
    await given;
    expect(rows()).toEqual([0, 1]);
  });

  it("finds an open gate by itself when nobody tells", async () => {
    const { clock, insert, application, gate, rows } = openWriter();
    const unseen = openPlain(application.name);
    const commit = unseen.prepare("COMMIT");
    gate.watch(unseen);
    unseen.exec("BEGIN");
    const given = insert(1);
    await clock.advance(20);
    expect(rows()).toEqual([]);
    commit.run();
    await clock.advance(5);
    await given;
    expect(rows()).toEqual([1]);
  });

  it("takes its turn inside the application's commit when it has waited, one slice each 12 ms", async () => {
    const { clock, insert, application, rows } = openWriter();
    application.exec("BEGIN");
    const jobs = [insert(1), insert(2), insert(3)];
    // The application begins its next transaction in the same turn: the gate is closed whenever the loop turns.
    const transact = () => application.exec("COMMIT").exec("BEGIN");
    await clock.advance(11);
    transact();
    expect(rows()).toEqual([]);
    await clock.advance(1);
    transact();
    expect(rows()).toEqual([1]);
    transact();
    await clock.advance(11);
    transact();
    expect(rows()).toEqual([1]);
    await clock.advance(1);
    transact();
    expect(rows()).toEqual([1, 2]);
    application.exec("COMMIT");
    await clock.settle();
    await Promise.all(jobs);
    expect(rows()).toEqual([1, 2, 3]);
  });

  it("pauses between normal jobs when told to, and not before urgent ones", async () => {
    const { writer, clock, insert, rows } = openWriter();
    writer.setPacing({ pauseMs: 100 });
    const first = insert(1);
    await clock.settle();
    await first;
    const second = insert(2);
    await clock.advance(99);
    expect(rows()).toEqual([1]);
    const urgent = writer.run({ name: "urgent", priority: "high", body: (db) => add(db, 3) });
    await clock.settle();
    await urgent;
    expect(rows()).toEqual([1, 3]);
    await clock.advance(99);
    expect(rows()).toEqual([1, 3]);
    writer.setPacing({});
    await clock.settle();
    await second;
    expect(rows()).toEqual([1, 3, 2]);
  });

  it("tells of commits that changed something, of rows or of the schema, and of no others", async () => {
    const { writer, clock, logger } = openWriter();
    const commits: string[] = [];
    writer.onCommitted(() => {
      throw new Error("bad listener");
    });
    writer.onCommitted(({ name }) => commits.push(name));
    const job = (name: string, sql: string) => code(writer.run({ name, body: (db) => db.exec(sql) }));
    const jobs = [
      job("insert", "INSERT INTO t VALUES (1)"),
      job("look", "SELECT 1 FROM t"),
      job("index", "CREATE INDEX i ON t (a)"),
      job("fail", "INSERT INTO t VALUES (1)"),
    ];
    await clock.settle();
    await Promise.all(jobs);
    expect(commits).toEqual(["insert", "index"]);
    expect(logger.lines).toEqual(Array(2).fill("error: A listener of the writer failed"));
  });

  it("keeps the books of its lease", async () => {
    const books: string[] = [];
    const { clock, insert } = openWriter({
      account: {
        ...noAccount,
        acquired: (holder, waitMs) => books.push(`+ ${holder} ${waitMs}`),
        released: (holder, useMs) => books.push(`- ${holder} ${useMs}`),
      },
    });
    const jobs = [insert(1), insert(1).catch(() => {})];
    await clock.settle();
    await Promise.all(jobs);
    expect(books).toEqual(["+ insert 1 0", "- insert 1 0", "+ insert 1 0", "- insert 1 0"]);
  });

  it("finishes its queue when it closes, and takes no more", async () => {
    const { writer, clock, insert, rows } = openWriter();
    const jobs = [insert(1), insert(2)];
    const closing = writer.close();
    expect(await code(insert(3))).toBe("TIDEMARK_STORAGE_WRITER_CLOSED");
    await clock.settle();
    await closing;
    await Promise.all(jobs);
    expect(rows()).toEqual([1, 2]);
    expect(clock.pendingTimers).toBe(0);
    await writer.close();
  });

  it("gives up what can't begin in time when it closes", async () => {
    const { writer, clock, insert, application } = openWriter({ acquireTimeoutMs: 100 });
    application.exec("BEGIN");
    const stuck = code(insert(1));
    const closing = writer.close();
    await clock.advance(100);
    await closing;
    expect(await stuck).toBe("TIDEMARK_STORAGE_WRITER_CLOSED");
    expect(clock.pendingTimers).toBe(0);
  });

  it("rejects when its connection is gone, instead of hanging", async () => {
    const { connection, clock, insert } = openWriter();
    connection.close();
    const given = insert(1);
    const outcome = expect(given).rejects.toThrow("not open");
    await clock.settle();
    await outcome;
  });
});

describe("the writer beside an application on TypeORM", () => {
  async function openBoth() {
    const dataSource = await openNoteSource(temporaryFile());
    const connection = await openWriterConnection({ dataSource, clock: realClock });
    onTestFinished(() => void connection.close());
    const logger = recordingLogger();
    const gate = new Gate({ guard: noGuard, logger });
    gate.watch(applicationConnection(dataSource));
    connection.exec("CREATE TABLE slice (a)");
    const writer = new Writer({ connection, gate, clock: realClock, logger, account: noAccount });
    let slices = 0;
    let stopped = false;
    const writing = (async () => {
      while (!stopped) {
        await writer.run({
          name: "slice",
          body: (db) => {
            const insert = db.prepare("INSERT INTO slice VALUES (?)");
            for (let row = 0; row < 20; row++) insert.run("x".repeat(100));
          },
        });
        slices++;
      }
    })();
    const stop = async () => {
      stopped = true;
      await writing;
      await writer.close();
    };
    return { dataSource, connection, slices: () => slices, stop };
  }

  /** Reads, waits, writes, waits, as code with an await in it does. */
  async function transact(dataSource: Awaited<ReturnType<typeof openNoteSource>>): Promise<void> {
    const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
    await dataSource.transaction(async (manager) => {
      const count = await manager.count("Note");
      await turn();
      await manager.insert("Note", { text: `after ${count}` });
      await turn();
    });
  }

  it("lets no transaction of the application fail or get lost while it writes without a rest", async () => {
    const { dataSource, connection, slices, stop } = await openBoth();
    for (let transaction = 0; transaction < 400; transaction++) {
      await transact(dataSource);
      // The application rests for a turn.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const during = slices();
    await stop();
    expect(await dataSource.getRepository("Note").count()).toBe(400);
    expect(connection.prepare("SELECT count(*) FROM slice").pluck().get()).toBe(slices() * 20);
    expect(during).toBeGreaterThan(100);
  });

  it("goes on although the application begins its next transaction in the same turn", async () => {
    const { dataSource, slices, stop } = await openBoth();
    let transactions = 0;
    // Without turn-taking no slice would ever run here.
    while (transactions < 400 || (slices() < 10 && transactions < 20_000)) {
      await transact(dataSource);
      transactions++;
    }
    const during = slices();
    await stop();
    expect(await dataSource.getRepository("Note").count()).toBe(transactions);
    expect(during).toBeGreaterThanOrEqual(10);
  });
});

describe("the fence", () => {
  function openFence() {
    const opened = openWriter();
    migrateSyncTables({ db: opened.connection, logId: "log" });
    // What synchronous is at the very moment of the write.
    opened.connection.exec(
      "CREATE TEMP TABLE seen (level); CREATE TEMP TRIGGER level AFTER UPDATE OF fence ON tidemark_state BEGIN INSERT INTO seen SELECT synchronous FROM pragma_synchronous; END",
    );
    const levels = () => opened.connection.prepare("SELECT level FROM seen").pluck().all();
    const fence = new Fence({ writer: opened.writer });
    const count = () => opened.connection.prepare("SELECT fence FROM tidemark_state").pluck().get();
    return { ...opened, fence, count, levels };
  }

  it("commits once, at FULL, for all who wait, and again only after another commit", async () => {
    const { fence, clock, count, insert, connection, levels, writer } = openFence();
    // Nobody knows what the process before has left in the log.
    const first = Promise.all([fence.cover(), fence.cover(), fence.cover()]);
    await clock.settle();
    await first;
    expect(count()).toBe(1);
    await fence.cover();
    const looking = writer.run({ name: "look", body: (db) => db.prepare("SELECT 1").get() });
    await clock.settle();
    await looking;
    await fence.cover();
    expect(count()).toBe(1);

    const writing = insert(1);
    await clock.settle();
    await writing;
    const second = fence.cover();
    await clock.settle();
    await second;
    expect(count()).toBe(2);
    expect(levels()).toEqual([2, 2]);
    expect(connection.pragma("synchronous", { simple: true })).toBe(1);
  });

  it("covers a commit that is under way, and shares no fence that has begun before it", async () => {
    const { fence, clock, count, writer } = openFence();
    const order: string[] = [];
    const covers: Promise<unknown>[] = [];
    const job = writer.run({
      name: "asks from inside",
      body: (db) => {
        add(db, 1);
        covers.push(fence.cover().then(() => order.push("covered")));
      },
    });
    covers.push(job.then(() => order.push("written")));
    await clock.settle();
    await Promise.all(covers);
    expect(order).toEqual(["written", "covered"]);
    expect(count()).toBe(1);
  });

  it("goes before the writes that wait, because they can't be meant", async () => {
    const { fence, clock, insert, writer } = openFence();
    const order: string[] = [];
    const all = [
      insert(1).then(() => order.push("first")),
      insert(2).then(() => order.push("second")),
      fence.cover().then(() => order.push("fence")),
    ];
    await clock.settle();
    await Promise.all(all);
    expect(order).toEqual(["fence", "first", "second"]);
    expect(writer.uncovered).toBe(true);
  });

  it("fails for all who wait when the commit fails, and works again afterwards", async () => {
    const { fence, clock, connection, count } = openFence();
    connection.exec("CREATE TEMP TRIGGER no BEFORE UPDATE ON tidemark_state BEGIN SELECT raise(ABORT, 'no'); END");
    const failing = Promise.all([code(fence.cover()), code(fence.cover())]);
    await clock.settle();
    expect(await failing).toEqual(["SQLITE_CONSTRAINT_TRIGGER", "SQLITE_CONSTRAINT_TRIGGER"]);
    connection.exec("DROP TRIGGER no");
    const again = fence.cover();
    await clock.settle();
    await again;
    expect(count()).toBe(1);
    expect(connection.pragma("synchronous", { simple: true })).toBe(1);
  });
});
