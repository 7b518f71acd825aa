// From end to end: real kernels on real files, a network in memory, time moved by hand.

import {
  createTestKernel,
  InMemoryNetwork,
  ManualClock,
  SeededRandom,
  type TestKernel,
  type TestKernelOptions,
} from "@tidemark/core/testing";
import { type AnyPlugin, API_VERSION, type CatchUpDecision, definePlugin } from "@tidemark/plugin-api";
import { EntitySchema } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type BackoffSettings, backoff } from "./index.js";

const noteSchema = new EntitySchema<{ id: number; uuid: string; text: string }>({
  name: "Note",
  columns: {
    id: { type: "integer", primary: true, generated: true },
    uuid: { type: "varchar", unique: true },
    text: { type: "text" },
  },
});

/** Origin ids of peers whose batches are not to be taken. */
let refused: Set<string>;
let clock: ManualClock;
let network: InMemoryNetwork;
const kernels: TestKernel[] = [];

beforeEach(() => {
  refused = new Set();
  clock = new ManualClock();
  network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
});
afterEach(async () => {
  for (const kernel of kernels.splice(0).reverse()) await kernel.dispose();
});

const saboteur: AnyPlugin = definePlugin({
  manifest: { id: "saboteur", version: "1.0.0", apiVersion: API_VERSION },
  activate({ hooks }) {
    hooks.beforeApplyBatch.tap((batch) => {
      if (refused.has(batch.peer)) throw new Error("this peer is not to be taken from");
    });
  },
});

async function device(name: string, options: Partial<TestKernelOptions> = {}): Promise<TestKernel> {
  const kernel = await createTestKernel({
    device: name,
    entities: [noteSchema],
    declarations: [{ entity: noteSchema, ownership: { kind: "shared" } }],
    clock,
    network,
    ...options,
  });
  kernels.push(kernel);
  await kernel.tidemark.start();
  await clock.settle();
  return kernel;
}

/** With `backoff`, exact unless jitter is said. */
function withBackoff(settings: BackoffSettings = { jitter: 0 }): Partial<TestKernelOptions> {
  return { plugins: [saboteur, backoff], settings: { plugins: { backoff: { settings } } } };
}

async function originOf(kernel: TestKernel): Promise<string> {
  return (await kernel.tidemark.status()).origin!;
}

async function write(kernel: TestKernel, uuid: string): Promise<void> {
  await kernel.dataSource.getRepository(noteSchema).insert({ uuid, text: uuid });
}

/**
 * Lets time pass. A backfill does work that the clock knows nothing of, so time stands still while one is under way, until
 * it has come to its end, good or bad.
 */
async function pass(kernel: TestKernel, ms: number): Promise<void> {
  await clock.advance(ms);
  // Connected again, but told to wait: that is for the clock.
  if ((await kernel.tidemark.status()).peers.some(({ nextAttemptAt }) => nextAttemptAt !== null)) return;
  const connected = kernel.recordedOf("peerConnected").length > kernel.recordedOf("peerDisconnected").length;
  if (!connected || kernel.recordedOf("peerStateChanged").at(-1)?.state !== "backfilling") return;
  await Promise.race([
    kernel.next("catchUpFailed"),
    kernel.next("backfillCompleted"),
    kernel.next("peerStateChanged"),
    kernel.next("peerDisconnected"),
  ]);
}

/** Lets time pass in small steps until `count` decisions were made. */
async function decisions(kernel: TestKernel, count: number, about?: string): Promise<readonly CatchUpDecision[]> {
  const made = () => kernel.recordedOf("catchUpDecided").filter(({ peer }) => about === undefined || peer === about);
  for (let turn = 0; made().length < count && turn < 4_000; turn++) await pass(kernel, 500);
  expect(made().map(({ decidedBy }) => decidedBy)).toEqual(made().map(() => "backoff"));
  return made().map(({ decision }) => decision);
}

async function untilTaken(kernel: TestKernel, uuid: string): Promise<void> {
  const notes = kernel.dataSource.getRepository(noteSchema);
  for (let turn = 0; (await notes.countBy({ uuid })) === 0; turn++) {
    expect(turn).toBeLessThan(2_000);
    await pass(kernel, 500);
  }
  await pass(kernel, 500);
}

/** Two devices in step; `b` has dialled `a`. */
async function pair(options = withBackoff()): Promise<{ a: TestKernel; b: TestKernel; origin: string }> {
  const a = await device("a");
  const b = await device("b", { dial: ["a"], ...options });
  await b.next("roundCompleted", undefined, { past: true });
  return { a, b, origin: await originOf(a) };
}

it("waits 10, 20, 40 and 80 s, takes everything anew after five failures, and begins again after a success", async () => {
  const { a, b, origin } = await pair();
  const failedAt: number[] = [];
  b.tidemark.events.on("catchUpFailed", () => failedAt.push(clock.monotonicMs()));
  refused.add(origin);
  await write(a, "n1");
  expect(await decisions(b, 6)).toEqual([
    { action: "retry", delayMs: 10_000 },
    { action: "retry", delayMs: 20_000 },
    { action: "retry", delayMs: 40_000 },
    { action: "retry", delayMs: 80_000 },
    { action: "full-backfill", delayMs: 160_000 },
    // Now a backfill, which goes on where it was.
    { action: "retry", delayMs: 300_000 },
  ]);
  // The kernel does as it was told; the dialler may come a little later.
  const waits = failedAt.slice(1).map((at, index) => at - failedAt[index]!);
  [10_000, 20_000, 40_000, 80_000, 160_000].forEach((delayMs, index) => {
    expect(waits[index]).toBeGreaterThanOrEqual(delayMs);
    expect(waits[index]).toBeLessThan(delayMs + 2_000);
  });
  expect(b.recordedOf("catchUpFailed").at(-1)).toMatchObject({ phase: "backfill", failures: 6 });

  refused.clear();
  await untilTaken(b, "n1");
  expect(b.recordedOf("backfillCompleted")).toHaveLength(2);

  refused.add(origin);
  await write(a, "n2");
  expect((await decisions(b, 7)).at(-1)).toEqual({ action: "retry", delayMs: 10_000 });
  refused.clear();
  await untilTaken(b, "n2");
  expect(await b.tidemark.digest("Note")).toEqual(await a.tidemark.digest("Note"));
});

it("keeps within ten per cent of its delays when nothing else is set", async () => {
  const { a, b, origin } = await pair(withBackoff({}));
  refused.add(origin);
  await write(a, "n1");
  const delays = (await decisions(b, 5)).map((decision) => ("delayMs" in decision ? decision.delayMs : -1));
  [10_000, 20_000, 40_000, 80_000, 160_000].forEach((plain, index) => {
    expect(delays[index]).toBeGreaterThanOrEqual(plain * 0.9);
    expect(delays[index]).toBeLessThanOrEqual(plain * 1.1);
  });
  expect(delays).not.toEqual([10_000, 20_000, 40_000, 80_000, 160_000]);
});

it("takes a success among failures for a new beginning", async () => {
  const { a, b, origin } = await pair();
  refused.add(origin);
  await write(a, "n1");
  expect((await decisions(b, 3)).at(-1)).toEqual({ action: "retry", delayMs: 40_000 });
  refused.clear();
  await untilTaken(b, "n1");
  refused.add(origin);
  await write(a, "n2");
  expect((await decisions(b, 4)).at(-1)).toEqual({ action: "retry", delayMs: 10_000 });
});

it("counts for each peer by itself", async () => {
  const { a, b, origin } = await pair();
  const c = await device("c", { dial: ["b"] });
  await c.next("roundCompleted", undefined, { past: true });
  const other = await originOf(c);
  refused.add(origin);
  await write(a, "of-a");
  expect((await decisions(b, 3, origin)).at(-1)).toEqual({ action: "retry", delayMs: 40_000 });

  // The other one is served as ever, and its first failure is its first.
  await write(c, "of-c");
  await untilTaken(b, "of-c");
  expect(await decisions(b, 0, other)).toEqual([]);
  refused.add(other);
  await write(c, "of-c-2");
  expect(await decisions(b, 1, other)).toEqual([{ action: "retry", delayMs: 10_000 }]);
  expect((await decisions(b, 4, origin)).at(-1)).toEqual({ action: "retry", delayMs: 80_000 });
});

it("goes on counting after a restart", async () => {
  const { a, b, origin } = await pair();
  refused.add(origin);
  await write(a, "n1");
  await decisions(b, 3);
  await b.tidemark.stop();

  const again = await device("b", { dial: ["a"], database: b.database, ...withBackoff() });
  // Nor does a restart cut the wait short.
  await clock.advance(30_000);
  expect(again.recordedOf("catchUpFailed")).toEqual([]);
  expect(await decisions(again, 2)).toEqual([
    { action: "retry", delayMs: 80_000 },
    { action: "full-backfill", delayMs: 160_000 },
  ]);
});

it("tells of a link that breaks in mid-backfill as of any failure, and goes on from the checkpoint", async () => {
  const a = await device("a");
  const notes = a.dataSource.getRepository(noteSchema);
  for (let from = 0; from < 1_000; from += 250) {
    await notes.insert(Array.from({ length: 250 }, (_, index) => ({ uuid: `n${from + index}`, text: "x" })));
  }
  const { settings, ...rest } = withBackoff();
  const b = await createTestKernel({
    device: "b",
    entities: [noteSchema],
    declarations: [{ entity: noteSchema, ownership: { kind: "shared" } }],
    clock,
    network,
    dial: ["a"],
    settings: { ...settings, replication: { pageRecords: 100 } },
    ...rest,
  });
  kernels.push(b);
  let broken = 0;
  b.tidemark.events.on("backfillProgress", ({ done }) => {
    if (done < 300 * (broken + 1) || broken === 2) return;
    broken++;
    network.cut("a", "b");
    network.heal("a", "b");
  });
  await b.tidemark.start();
  for (let turn = 0; b.recordedOf("backfillCompleted").length === 0; turn++) {
    expect(turn).toBeLessThan(500);
    await pass(b, 500);
  }
  expect(await decisions(b, 2)).toEqual([
    { action: "retry", delayMs: 10_000 },
    { action: "retry", delayMs: 20_000 },
  ]);
  expect(b.recordedOf("backfillStarted").map(({ resumed }) => resumed)).toEqual([false, true, true]);
  expect(await b.tidemark.digest("Note")).toEqual(await a.tidemark.digest("Note"));
});

it("never comes to a hot loop: an hour of failures is a dozen attempts and then one every five minutes", async () => {
  const { a, b, origin } = await pair();
  refused.add(origin);
  await write(a, "n1");
  await decisions(b, 1);
  for (let turn = 0; turn < 3_600; turn++) await pass(b, 1_000);
  const { length } = b.recordedOf("catchUpFailed");
  // 10 + 20 + 40 + 80 + 160 s, then 300 s each.
  expect(length).toBeGreaterThanOrEqual(14);
  expect(length).toBeLessThanOrEqual(17);
});

it("gives up another library at once, says why, and does not come back", async () => {
  const a = await device("a");
  const b = await device("b", { dial: ["a"], library: { id: "another-library" }, ...withBackoff() });
  const decided = await b.next("catchUpDecided", undefined, { past: true });
  expect(decided).toMatchObject({
    decidedBy: "backoff",
    decision: { action: "give-up", reason: expect.stringMatching(/TIDEMARK_PEER_OTHER_LIBRARY.*another-library/) },
  });
  await clock.advance(1_000);
  const attempts = b.recordedOf("catchUpDecided").length;
  for (let turn = 0; turn < 100; turn++) await clock.advance(60_000);
  expect(b.recordedOf("catchUpDecided")).toHaveLength(attempts);
  expect((await a.tidemark.status()).peers).toEqual([]);
});

it("leaves the kernel to its fixed delay when it is turned off", async () => {
  const { a, b, origin } = await pair({
    plugins: [saboteur, backoff],
    settings: { plugins: { backoff: false }, replication: { retryDelayMs: 7_000 } },
  });
  refused.add(origin);
  await write(a, "n1");
  for (let turn = 0; b.recordedOf("catchUpDecided").length < 6 && turn < 200; turn++) await clock.advance(500);
  expect(new Set(b.recordedOf("catchUpDecided").map((event) => JSON.stringify(event)))).toEqual(
    new Set([JSON.stringify({ peer: origin, decision: { action: "retry", delayMs: 7_000 }, decidedBy: "kernel" })]),
  );
  expect(b.recordedOf("catchUpDecided")).toHaveLength(6);
});
