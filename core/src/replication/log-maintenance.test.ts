import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, PrimaryColumn } from "typeorm";
import { afterEach, expect, it, vi } from "vitest";
import { TestLibrary } from "../e2e/library.test-support.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { Fold } from "./fold.js";

@Entity()
class Page {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

let library: TestLibrary;
afterEach(() => {
  vi.restoreAllMocks();
  return library.dispose();
});

function begin(): void {
  library = new TestLibrary({
    entities: [Page],
    declarations: [{ entity: Page, ownership: { kind: "shared" } }],
  });
}

/** None within the time that a test takes. */
const noHeartbeat = { settings: { replication: { heartbeatMs: 86_400_000 } } };
const maintenanceOf = ({ tidemark }: TestKernel) => tidemark.services.get(logMaintenance);
const endsServed = (...kernels: readonly TestKernel[]) =>
  kernels.reduce((sum, kernel) => sum + kernel.recordedOf("pageServed").length, 0);

/** Resolves when the device pulls from a peer and has all that the peer had: the end of a backfill waits for a thread. */
async function ready(...kernels: readonly TestKernel[]): Promise<void> {
  for (const kernel of kernels) await kernel.next("peerStateChanged", ({ state }) => state === "ready", { past: true });
}

async function pair(): Promise<{ readonly a: TestKernel; readonly b: TestKernel }> {
  const a = await library.device("a", noHeartbeat);
  const b = await library.device("b", { dial: ["a"], ...noHeartbeat });
  await ready(a, b);
  return { a, b };
}

async function write({ dataSource }: TestKernel, prefix: string, count: number): Promise<void> {
  await dataSource.query(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
     INSERT INTO page (uuid, text) SELECT ? || i, 'text' FROM n`,
    [count, prefix],
  );
}

it("acknowledges to a peer only what is news to it", async () => {
  begin();
  const { a, b } = await pair();
  await write(a, "p", 3);
  await library.settle(a, b);
  const acknowledge = async () => {
    for (const kernel of [a, b]) {
      await maintenanceOf(kernel).acknowledge();
      await library.clock.advance(100);
    }
  };
  for (let turn = 0; turn < 3; turn++) await acknowledge();
  const before = endsServed(a, b);
  for (let turn = 0; turn < 20; turn++) await acknowledge();
  expect(endsServed(a, b)).toBe(before);

  await write(b, "q", 1);
  await library.settle(a, b);
  const told = endsServed(a, b);
  await acknowledge();
  expect(endsServed(a, b)).toBeGreaterThan(told);
  const points = await Promise.all([a, b].map((kernel) => maintenanceOf(kernel).stablePoint()));
  for (const { heldBackBy } of points) expect(heldBackBy).toEqual([]);
});

/** A device that may forget 1,200 entries of its log, which lie behind 600 that it may not. */
async function muchToForget(): Promise<{ readonly a: TestKernel; readonly upToHlc: number }> {
  const { a, b } = await pair();
  library.network.cut("a", "b");
  await write(b, "old", 1_200);
  await library.clock.advance(500);
  const upToHlc = (library.clock.now() - Date.UTC(2020, 0, 1)) * 4_096;
  await library.clock.advance(500);
  await write(a, "new", 600);
  await library.clock.advance(500);
  library.network.heal("a", "b");
  await library.settle(a, b);
  for (const kernel of [b, a, b]) {
    await maintenanceOf(kernel).acknowledge();
    await library.clock.advance(100);
  }
  return { a, upToHlc };
}

async function pruneSliceBySlice(kernel: TestKernel, upToHlc: number) {
  let calls = 0;
  let removed = 0;
  for (let more = true; more && calls < 50; calls++) {
    const step = await maintenanceOf(kernel).prune({ upToHlc, maxSlices: 1 });
    removed += step.stamps;
    more = step.more;
  }
  return { calls, removed };
}

it("goes on with pruning where a limited number of slices has left off, though nothing at the front may go", async () => {
  begin();
  const { a, upToHlc } = await muchToForget();
  const maintenance = maintenanceOf(a);
  const { logEntries } = await maintenance.size();
  const { calls, removed } = await pruneSliceBySlice(a, upToHlc);
  // By a clock that stands still nothing takes long, so that the slices grow: 500 entries, 1,000, and the rest.
  expect(logEntries).toBeGreaterThan(1_500);
  expect(calls).toBe(3);
  expect((await maintenance.size()).logEntries).toBe(logEntries - removed);
  expect(removed).toBe(1_200);
  // What has been swept is not looked at again.
  expect(await maintenance.prune({ upToHlc, maxSlices: 1 })).toMatchObject({ stamps: 0, more: false });
  expect(await maintenance.prune()).toMatchObject({ more: false });
  expect((await maintenance.size()).logEntries).toBe(0);
});

it("prunes no smaller slices because the application's changes are folded in them", async () => {
  begin();
  const { a, upToHlc } = await muchToForget();
  const { clock } = library;
  let foldedMs = 0;
  const { monotonicMs } = clock;
  vi.spyOn(clock, "monotonicMs").mockImplementation(() => monotonicMs.call(clock) + foldedMs);
  const { run } = Fold.prototype;
  vi.spyOn(Fold.prototype, "run").mockImplementation(function (this: Fold, ...input) {
    foldedMs += 30;
    return run.apply(this, input);
  });
  expect(await pruneSliceBySlice(a, upToHlc)).toEqual({ calls: 3, removed: 1_200 });
  expect(foldedMs).toBeGreaterThanOrEqual(90);
});

it("names the member that is silent, and not those who listen to it", async () => {
  begin();
  const { a, b } = await pair();
  const c = await library.device("c", { dial: ["a"], ...noHeartbeat });
  await ready(c);
  const settle = async (...kernels: readonly TestKernel[]) => {
    await library.settle(...kernels);
    for (let turn = 0; turn < 3; turn++) {
      for (const kernel of kernels) await maintenanceOf(kernel).acknowledge();
      await library.clock.advance(100);
    }
  };
  await write(c, "c", 1);
  await settle(a, b, c);
  await c.tidemark.stop();
  await write(a, "a", 1);
  await write(b, "b", 1);
  await settle(a, b);
  for (const kernel of [a, b]) {
    const { heldBackBy } = await maintenanceOf(kernel).stablePoint();
    expect(heldBackBy.map(({ deviceId }) => deviceId)).toEqual(["c"]);
  }
});

it("writes nothing when heartbeats are all that is heard", async () => {
  begin();
  const { a, b } = await pair();
  await write(a, "x", 5);
  await library.settle(a, b);
  const beats = async () => {
    await library.clock.advance(70_000);
    for (const kernel of [a, b, a]) {
      await maintenanceOf(kernel).acknowledge();
      await library.clock.advance(100);
    }
  };
  await beats();
  expect(await maintenanceOf(a).prune()).toMatchObject({ stamps: 5 });
  const commits: string[] = [];
  a.tidemark.events.on("leaseReleased", ({ kind, holder }) => {
    if (kind === "writer") commits.push(holder);
  });
  await beats();
  expect(await maintenanceOf(a).prune()).toMatchObject({ stamps: 0, more: false });
  expect(commits.filter((holder) => holder === "prune" || holder === "raise the floor")).toEqual([]);
});

it("commits nothing at heartbeats that say what was said before, and still tells and hears them", async () => {
  begin();
  const a = await library.device("a");
  const b = await library.device("b", { dial: ["a"] });
  await ready(a, b);
  await write(a, "x", 5);
  await library.settle(a, b);
  await library.clock.advance(200_000);
  const commits: string[] = [];
  const told: number[] = [];
  const heard: string[] = [];
  for (const { tidemark } of [a, b]) {
    tidemark.events.on("leaseReleased", ({ kind, holder }) => {
      if (kind === "writer") commits.push(holder);
    });
    tidemark.events.on("pageServed", ({ records }) => void told.push(records));
    tidemark.events.on("roundCompleted", ({ peer }) => void heard.push(peer));
  }
  await library.clock.advance(600_000);
  expect(told).toEqual(Array.from({ length: 20 }, () => 0));
  expect(heard).toHaveLength(20);
  expect(commits).toEqual([]);

  // What is new is taken in as ever.
  await write(b, "y", 1);
  await library.settle(a, b);
  await library.clock.advance(70_000);
  expect(commits.some((holder) => holder.startsWith("end of round"))).toBe(true);
});

it("tells in a single commit that somebody watches, before the first heartbeat leaves", async () => {
  begin();
  const a = await library.device("a");
  const b = await library.device("b", { dial: ["a"] });
  await ready(a, b);
  await library.settle(a, b);
  const done: string[] = [];
  a.tidemark.events.on("leaseReleased", ({ kind, holder }) => {
    if (kind === "writer" && !holder.startsWith("end of round")) done.push(holder);
  });
  a.tidemark.events.on("pageServed", () => void done.push("told"));
  await library.clock.advance(61_000);
  expect(done).toEqual(["heartbeat", "told"]);
});
