// Sync and the application share one file and one event loop. Neither may keep the other out, whatever it does: waits are
// counted in turns of the loop and in slices, never in milliseconds.

import type { Clock } from "@tidemark/plugin-api";
import { EntitySchema } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { shared, TestLibrary } from "./library.test-support.js";

const notes = new EntitySchema<{ id: number; uuid: string; text: string }>({
  name: "Note",
  columns: {
    id: { type: "integer", primary: true, generated: true },
    uuid: { type: "varchar", unique: true },
    text: { type: "text" },
  },
});

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [notes], declarations: shared(notes) });
});
afterEach(() => library.dispose());

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function insertNotes({ dataSource }: TestKernel, prefix: string, count: number): Promise<void> {
  await dataSource.query(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
     INSERT INTO note (uuid, text) SELECT ? || i, '' FROM n`,
    [count, `${prefix}-`],
  );
}

/** Two devices in step, with changes of `a` on their way to `b` that are held back until the returned function is called. */
async function withChangesOnTheirWay(changes: number, own: number) {
  const { a, b } = await library.pair();
  if (own > 0) {
    await insertNotes(b, "own", own);
    await library.settle(a, b);
  }
  library.network.cutOneWay({ from: "a", to: "b" });
  await insertNotes(a, "theirs", changes);
  await library.clock.advance(1_000);
  return { a, b, letThemCome: () => library.network.heal("a", "b") };
}

/** One transaction of the application in every turn, until it holds; the number of turns. */
async function turnsUntil(holds: () => boolean, { dataSource }: TestKernel, most: number): Promise<number> {
  for (let turns = 1; turns <= most; turns++) {
    await dataSource.query("UPDATE note SET text = text || 'x' WHERE uuid LIKE 'own-%'");
    await turn();
    if (holds()) return turns;
  }
  return Number.POSITIVE_INFINITY;
}

describe("an application that writes in every turn", () => {
  // One slice folds 2,000 changes, unless that is not enough.
  it.each([20, 2_500])("does not keep the changes of others out: %d records a turn", async (records) => {
    const { a, b, letThemCome } = await withChangesOnTheirWay(500, records);
    const before = b.recordedOf("batchApplied").length;
    letThemCome();
    expect(await turnsUntil(() => b.recordedOf("batchApplied").length > before, b, 60)).toBeLessThan(40);
    await library.settle(a, b);
  });

  it.each([20, 2_500])("does not keep its own changes from others: %d records a turn", async (records) => {
    const { a, b } = await library.pair();
    await insertNotes(b, "own", records);
    await library.settle(a, b);
    const before = a.recordedOf("batchApplied").length;
    expect(await turnsUntil(() => a.recordedOf("batchApplied").length > before, b, 60)).toBeLessThan(40);
    await library.settle(a, b);
  });
});

describe("a device that catches up", () => {
  it("lets the application have every second turn", async () => {
    const { a, b, letThemCome } = await withChangesOnTheirWay(8_000, 0);
    let slices = 0;
    b.tidemark.events.on("leaseAcquired", ({ kind }) => {
      if (kind === "writer") slices += 1;
    });
    const done = b.next("roundCompleted");
    let isDone = false;
    done.then(() => {
      isDone = true;
    });
    letThemCome();
    let transactions = 0;
    let mostSlicesInBetween = 0;
    while (!isDone) {
      const before = slices;
      // Reads, waits and writes: a commit of somebody else in between would make it fail.
      await b.dataSource.transaction(async (manager) => {
        const rows = await manager.query<{ n: number }[]>("SELECT count(*) AS n FROM note");
        await turn();
        await manager.query("INSERT INTO note (uuid, text) VALUES (?, ?)", [`app-${transactions}`, String(rows[0]!.n)]);
      });
      transactions += 1;
      mostSlicesInBetween = Math.max(mostSlicesInBetween, slices - before);
      await turn();
    }
    expect(slices).toBeGreaterThan(10);
    expect(transactions).toBeGreaterThan(10);
    expect(mostSlicesInBetween).toBeLessThanOrEqual(1);
    await library.settle(a, b);
    const written = await a.dataSource.query("SELECT count(*) AS n FROM note WHERE uuid LIKE 'app-%'");
    expect(written).toEqual([{ n: transactions }]);
  });
});

describe("a pool of a single reader", () => {
  it("lends it in turn to the pages of a peer and to an application that asks without end", async () => {
    const settings = { pool: { size: 2 }, replication: { pageRecords: 200 } };
    // Every look at the time finds it later, so that a digest holds its reader over many turns.
    let ms = 0;
    const { clock } = library;
    const slow: Clock = {
      now: () => clock.now(),
      monotonicMs: () => {
        ms += 5;
        return ms;
      },
      setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
      setImmediate: (callback) => clock.setImmediate(callback),
    };
    const a = await library.device("a", { settings, clock: slow });
    await insertNotes(a, "old", 4_000);
    const lent: string[] = [];
    a.tidemark.events.on("leaseAcquired", ({ kind, holder }) => {
      if (kind === "reader") lent.push(holder);
    });
    let over = false;
    const clients = Array.from({ length: 3 }, async () => {
      while (!over) {
        await a.tidemark.digest("Note");
        await turn();
      }
    });
    const b = await library.device("b", { dial: ["a"], settings: { replication: { pageRecords: 200 } } });
    await b.next("backfillCompleted", undefined, { past: true });
    over = true;
    await Promise.all(clients);
    await library.settle(a, b);

    const pages = lent.flatMap((holder, index) => (holder.startsWith("backfill of") ? [index] : []));
    expect(pages.length).toBeGreaterThan(15);
    // Each of the three has its turn at most once before the page has its own; and they have theirs.
    const between = pages.slice(1).map((index, at) => index - pages[at]! - 1);
    expect(Math.max(...between)).toBeLessThanOrEqual(2 * clients.length);
    expect(lent.filter((holder) => holder.startsWith("digest of")).length).toBeGreaterThan(pages.length);
    expect(a.recordedOf("leaseTimedOut")).toEqual([]);
  });
});
