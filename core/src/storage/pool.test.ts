import type { PoolPressure } from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { openPlain, temporaryFile } from "./connections.test-support.js";
import { Pool, type PoolOptions } from "./pool.js";

function openPool(options: Partial<PoolOptions> = {}) {
  const path = temporaryFile();
  openPlain(path).exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a)");
  const clock = new ManualClock();
  const events: string[] = [];
  const pressures: PoolPressure[] = [];
  let opened = 0;
  const pool = new Pool({
    clock,
    openReader: () => {
      opened++;
      return openPlain(path);
    },
    observer: {
      onAcquired: ({ kind, holder, waitMs }) => events.push(`${kind} acquired by ${holder} after ${waitMs}`),
      onReleased: ({ kind, holder, useMs }) => events.push(`${kind} released by ${holder} after ${useMs}`),
      onTimedOut: ({ kind, holder, waitMs }) => events.push(`${kind} timed out for ${holder} after ${waitMs}`),
      onChanged: () => {},
      onPressure: (pressure) => pressures.push(pressure),
      onRelieved: () => events.push("relieved"),
    },
    size: 3,
    ...options,
  });
  return { pool, clock, events, pressures, opened: () => opened };
}

describe("the pool", () => {
  it("opens readers on demand, keeps them for the next, and counts the writer's place", async () => {
    const { pool, opened, events, clock } = openPool();
    expect(pool.stats()).toEqual({ active: 0, idle: 1, waiting: 0, limit: 3 });
    const first = await pool.acquireReader({ holder: "a" });
    expect(pool.stats()).toEqual({ active: 1, idle: 1, waiting: 0, limit: 3 });
    await clock.advance(7);
    first.release();
    first.release();
    expect(pool.stats()).toEqual({ active: 0, idle: 2, waiting: 0, limit: 3 });
    expect(await pool.withReader("b", (db) => db.prepare("SELECT count(*) FROM t").pluck().get())).toBe(0);
    expect(opened()).toBe(1);
    expect(events).toEqual([
      "reader acquired by a after 0",
      "reader released by a after 7",
      "reader acquired by b after 0",
      "reader released by b after 0",
    ]);
    await expect(pool.withReader("c", () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
    expect(pool.stats().active).toBe(0);
  });

  it("serves those who wait in the order in which they came, also before a newcomer", async () => {
    const { pool, clock } = openPool({ size: 2 });
    const order: string[] = [];
    const held = await pool.acquireReader({ holder: "first" });
    const waiting = ["second", "third"].map((holder) =>
      pool.withReader(holder, () => {
        order.push(holder);
      }),
    );
    expect(pool.stats()).toMatchObject({ active: 1, waiting: 2 });
    held.release();
    // Asks in the very turn in which a place is free.
    const newcomer = pool.withReader("newcomer", () => {
      order.push("newcomer");
    });
    await clock.settle();
    await Promise.all([...waiting, newcomer]);
    expect(order).toEqual(["second", "third", "newcomer"]);
    expect(pool.stats()).toMatchObject({ active: 0, waiting: 0 });
  });

  it("never lends more than its limit, whoever asks when", async () => {
    const { pool, clock, opened } = openPool({ size: 4 });
    let active = 0;
    let most = 0;
    const users = Array.from({ length: 40 }, (_, index) =>
      pool.withReader(`user ${index}`, async () => {
        most = Math.max(most, ++active);
        await new Promise<void>((resolve) => clock.setTimeout(resolve, (index * 7) % 5));
        active--;
      }),
    );
    await clock.advance(200);
    await Promise.all(users);
    expect(most).toBe(3);
    expect(opened()).toBe(3);
  });

  it("names who holds the connections, and for how long, when the wait takes too long", async () => {
    const { pool, clock, events } = openPool({ acquireTimeoutMs: 1_000 });
    const first = await pool.acquireReader({ holder: "backfill of Entry" });
    await clock.advance(300);
    await pool.acquireReader({ holder: "digest" });
    const refused = pool.acquireReader({ holder: "live" }).catch((error: unknown) => error);
    await clock.advance(999);
    expect(pool.stats().waiting).toBe(1);
    await clock.advance(1);
    expect(await refused).toMatchObject({
      code: "TIDEMARK_STORAGE_ACQUIRE_TIMEOUT",
      message: expect.stringContaining('"backfill of Entry" for 1300 ms, "digest" for 1000 ms'),
      details: { holder: "live", waitMs: 1_000 },
    });
    expect(events).toContain("reader timed out for live after 1000");
    expect(pool.stats().waiting).toBe(0);
    first.release();
    (await pool.acquireReader({ holder: "live" })).release();
  });

  it("gives up a wait, or an opening, when the signal says so", async () => {
    const { pool, clock } = openPool({ size: 2 });
    const abort = new AbortController();
    const during = pool.acquireReader({ holder: "opening", signal: abort.signal });
    abort.abort(new Error("stop"));
    await expect(during).rejects.toThrow("stop");
    await expect(pool.acquireReader({ holder: "too late", signal: abort.signal })).rejects.toThrow("stop");
    const held = await pool.acquireReader({ holder: "held" });
    const later = new AbortController();
    const waiting = pool.acquireReader({ holder: "waiting", signal: later.signal });
    later.abort(new Error("stop later"));
    await expect(waiting).rejects.toThrow("stop later");
    held.release();
    expect(pool.stats()).toEqual({ active: 0, idle: 2, waiting: 0, limit: 2 });
    expect(clock.pendingTimers).toBe(0);
  });

  it("reports pressure while somebody waits or more than 80 % are in use, and its end", async () => {
    const { pool, clock, pressures, events } = openPool({ size: 6 });
    const leases = [];
    for (const holder of ["a", "b", "c", "d"]) leases.push(await pool.acquireReader({ holder }));
    expect(pressures).toEqual([]);
    leases.push(await pool.acquireReader({ holder: "e" }));
    expect(pressures).toMatchObject([{ active: 5, waiting: 0, longestWaitMs: 0, holders: ["a", "b", "c", "d", "e"] }]);
    const f = pool.acquireReader({ holder: "f" });
    await clock.advance(40);
    const g = pool.acquireReader({ holder: "g" });
    expect(pressures.slice(1)).toMatchObject([
      { active: 5, waiting: 1, longestWaitMs: 0, limit: 6 },
      { active: 5, waiting: 2, longestWaitMs: 40 },
    ]);
    expect(events).not.toContain("relieved");
    leases[0]!.release();
    leases[1]!.release();
    (await f).release();
    (await g).release();
    expect(events.filter((event) => event === "relieved")).toHaveLength(1);
  });

  it("accounts for the writer, and reports a write that waits too long", async () => {
    const { pool, clock, pressures, events } = openPool();
    pool.writerAccount.overdue("fold", 30_000);
    expect(pool.stats().waiting).toBe(1);
    await clock.advance(500);
    pool.writerAccount.overdue("fold", 30_500);
    expect(pressures.map((it) => it.longestWaitMs)).toEqual([30_000, 30_500]);
    pool.writerAccount.acquired("fold", 30_600);
    expect(pool.stats()).toEqual({ active: 1, idle: 0, waiting: 0, limit: 3 });
    await clock.advance(8);
    pool.writerAccount.released("fold", 8);
    expect(pool.stats()).toEqual({ active: 0, idle: 1, waiting: 0, limit: 3 });
    expect(events).toEqual(["writer acquired by fold after 30600", "relieved", "writer released by fold after 8"]);
  });

  it("ends a read transaction that its user has left open", async () => {
    const { pool } = openPool();
    await pool.withReader("careless", (db) => db.exec("BEGIN; SELECT * FROM t"));
    expect(await pool.withReader("next", (db) => db.inTransaction)).toBe(false);
  });

  it("hands the place on when a connection can't be opened", async () => {
    let attempts = 0;
    const path = temporaryFile();
    const { pool } = openPool({
      size: 2,
      openReader: async () => {
        if (++attempts === 1) throw new Error("too many files");
        return openPlain(path);
      },
    });
    const first = pool.acquireReader({ holder: "a" });
    const second = pool.withReader("b", () => "served");
    await expect(first).rejects.toThrow("too many files");
    expect(await second).toBe("served");
  });

  it("refuses those who wait when it closes, and waits for what is in use", async () => {
    const { pool, clock } = openPool({ size: 2, acquireTimeoutMs: 1_000 });
    const held = await pool.acquireReader({ holder: "held" });
    const waiting = pool.acquireReader({ holder: "waiting" }).catch((error: unknown) => error);
    let closed = false;
    const closing = pool.close().then(() => {
      closed = true;
    });
    expect(await waiting).toMatchObject({ code: "TIDEMARK_STORAGE_POOL_CLOSED" });
    await clock.advance(999);
    expect(closed).toBe(false);
    held.release();
    await closing;
    expect(held.connection.open).toBe(false);
    await expect(pool.acquireReader({ holder: "late" })).rejects.toMatchObject({
      code: "TIDEMARK_STORAGE_POOL_CLOSED",
    });
    expect(clock.pendingTimers).toBe(0);
  });

  it("closes by force what is not given back in time, and says whose it was", async () => {
    const { pool, clock } = openPool({ acquireTimeoutMs: 1_000 });
    const lost = await pool.acquireReader({ holder: "forgetful" });
    const closing = pool.close().catch((error: unknown) => error);
    await clock.advance(1_000);
    expect(await closing).toMatchObject({
      code: "TIDEMARK_STORAGE_LEASES_NOT_RETURNED",
      details: { holders: ["forgetful"] },
    });
    expect(lost.connection.open).toBe(false);
    lost.release();
  });
});
