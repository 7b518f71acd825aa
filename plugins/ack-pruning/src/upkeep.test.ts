import type { PeerFigures } from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { FakeKernel } from "./fake-kernel.test-support.js";
import { ackPruningControl } from "./index.js";

const HOUR_MS = 3_600_000;

/** A kernel in which the start has been dealt with: what is counted comes from the test. */
async function atRest(...settings: ConstructorParameters<typeof FakeKernel>): Promise<FakeKernel> {
  const kernel = new FakeKernel(...settings);
  await kernel.clock.advance(5_000);
  kernel.maintenance.acknowledgements = 0;
  kernel.maintenance.pruned.length = 0;
  kernel.maintenance.compactions = 0;
  return kernel;
}

describe("acknowledging", () => {
  it("happens once for all batches within the delay, and again for those after it", async () => {
    const kernel = await atRest();
    for (let batch = 0; batch < 5; batch++) {
      await kernel.applyBatch({ vectorMoved: true });
      await kernel.clock.advance(100);
    }
    expect(kernel.maintenance.acknowledgements).toBe(0);
    await kernel.clock.advance(500);
    expect(kernel.maintenance.acknowledgements).toBe(1);
    await kernel.applyBatch({ vectorMoved: true });
    await kernel.clock.advance(1_000);
    expect(kernel.maintenance.acknowledgements).toBe(2);
  });

  it("is not put off by batches that never cease", async () => {
    const kernel = await atRest();
    for (let batch = 0; batch < 100; batch++) {
      await kernel.applyBatch({ vectorMoved: true });
      await kernel.clock.advance(100);
    }
    expect(kernel.maintenance.acknowledgements).toBeGreaterThanOrEqual(9);
  });

  it("does not follow a batch that left the vector where it was", async () => {
    const kernel = await atRest();
    await kernel.applyBatch({ vectorMoved: false });
    await kernel.clock.advance(60_000);
    expect(kernel.maintenance.acknowledgements).toBe(0);
  });

  it.each([
    ["a round without records", "roundCompleted", { peer: "b", phase: "live", records: 0, durationMs: 1 }],
    ["the end of a backfill", "backfillCompleted", { peer: "b", records: 9, durationMs: 1 }],
    ["the acknowledgement of a peer", "vectorAcknowledged", { peer: "b" }],
    ["a new member", "memberJoined", { origin: "c", deviceId: "c", sponsor: "a" }],
    ["a new connection", "peerConnected", { peer: "b", deviceId: "b", address: "memory://b" }],
  ] as const)("follows %s", async (_, name, event) => {
    const kernel = await atRest();
    kernel.emit(name, event);
    await kernel.clock.advance(1_000);
    expect(kernel.maintenance.acknowledgements).toBe(1);
  });

  it("that fails does not fail the batch, is logged, and is repeated at the next batch and on the timer", async () => {
    const kernel = await atRest();
    kernel.maintenance.failures.set("acknowledge", [new Error("no"), new Error("no")]);
    await kernel.applyBatch({ vectorMoved: true });
    await kernel.clock.advance(1_000);
    await kernel.applyBatch({ vectorMoved: true });
    await kernel.clock.advance(1_000);
    expect(kernel.logger.at("warn")).toHaveLength(2);
    expect(kernel.logger.at("warn")[0]!.fields).toMatchObject({ action: "acknowledge", error: new Error("no") });
    expect(kernel.maintenance.acknowledgements).toBe(2);
    await kernel.clock.advance(HOUR_MS);
    expect(kernel.maintenance.acknowledgements).toBe(3);
    expect(kernel.logger.at("warn")).toHaveLength(2);
  });
});

describe("pruning", () => {
  it("follows acknowledgements after a delay, once for all of them, in small steps, and compacts at the end", async () => {
    const kernel = await atRest();
    kernel.maintenance.stable = 2_500;
    for (const peer of ["b", "c", "d"]) kernel.emit("vectorAcknowledged", { peer });
    await kernel.clock.advance(1_999);
    expect(kernel.maintenance.pruned).toEqual([]);
    await kernel.clock.advance(1);
    expect(kernel.maintenance.pruned).toEqual([{ maxSlices: 8 }, { maxSlices: 8 }, { maxSlices: 8 }]);
    expect(kernel.maintenance.compactions).toBe(1);
    expect(kernel.get(ackPruningControl).lastResult()).toMatchObject({
      stamps: 2_500,
      pagesGivenBack: 7,
      atMs: kernel.clock.now(),
    });
  });

  it("happens every hour without any reason, and compacts only what it has freed", async () => {
    const kernel = await atRest();
    await kernel.clock.advance(3 * HOUR_MS);
    expect(kernel.maintenance.pruned).toHaveLength(3);
    expect(kernel.maintenance.compactions).toBe(0);
  });

  it("leaves the file alone when it is told to", async () => {
    const kernel = await atRest({ compact: false });
    kernel.maintenance.stable = 10;
    expect(await kernel.get(ackPruningControl).pruneNow()).toMatchObject({ stamps: 10, pagesGivenBack: 0 });
    expect(kernel.maintenance.compactions).toBe(0);
  });

  it("that fails is logged, told to whoever asked by hand, and repeated on the timer", async () => {
    const kernel = await atRest();
    kernel.maintenance.stable = 10;
    kernel.maintenance.failures.set("prune", [new Error("disk full"), new Error("disk full")]);
    kernel.emit("vectorAcknowledged", { peer: "b" });
    await kernel.clock.advance(2_000);
    expect(kernel.logger.at("warn")[0]!.fields).toMatchObject({ action: "prune" });
    await expect(kernel.get(ackPruningControl).pruneNow()).rejects.toThrow("disk full");
    await kernel.clock.advance(HOUR_MS);
    expect(kernel.maintenance.stable).toBe(0);
  });

  it("runs once at a time; all who ask meanwhile share the next run", async () => {
    const kernel = await atRest();
    let open = () => {};
    kernel.maintenance.gate = new Promise((resolve) => {
      open = resolve;
    });
    const { pruneNow } = kernel.get(ackPruningControl);
    const first = pruneNow();
    await kernel.clock.settle();
    const others = [pruneNow(), pruneNow(), pruneNow()];
    await kernel.clock.settle();
    expect(kernel.maintenance.pruned).toHaveLength(1);
    open();
    await Promise.all([first, ...others]);
    expect(kernel.maintenance.pruned).toHaveLength(2);
  });

  it("keeps what is younger than it was told", async () => {
    const kernel = await atRest({ strategy: "acknowledged-and-older-than", keepDays: 2.5 });
    await kernel.get(ackPruningControl).pruneNow();
    const youngestMs = kernel.clock.now() - 60 * HOUR_MS;
    expect(kernel.maintenance.pruned).toEqual([{ upToHlc: (youngestMs - Date.UTC(2020, 0, 1)) * 4_096, maxSlices: 8 }]);
    expect(await kernel.get(ackPruningControl).dryRun()).toMatchObject({ upToMs: youngestMs });
  });

  it("begins no further step once the plugin has stopped, and leaves no timer behind", async () => {
    const kernel = await atRest();
    kernel.maintenance.stable = 10_000;
    let open = () => {};
    kernel.maintenance.gate = new Promise((resolve) => {
      open = resolve;
    });
    kernel.emit("vectorAcknowledged", { peer: "b" });
    await kernel.clock.advance(2_000);
    kernel.stop();
    open();
    await kernel.clock.settle();
    expect(kernel.maintenance.pruned).toHaveLength(1);
    expect(kernel.maintenance.compactions).toBe(0);
    expect(kernel.clock.pendingTimers).toBe(0);
  });

  it("rests while the kernel is paused, and catches up afterwards", async () => {
    const kernel = await atRest();
    kernel.emit("kernelStateChanged", { state: "paused", previous: "running" });
    kernel.emit("vectorAcknowledged", { peer: "b" });
    await kernel.applyBatch({ vectorMoved: true });
    await kernel.clock.advance(2 * HOUR_MS);
    expect(kernel.maintenance.pruned).toEqual([]);
    expect(kernel.maintenance.acknowledgements).toBe(0);
    kernel.emit("kernelStateChanged", { state: "running", previous: "paused" });
    await kernel.clock.advance(2_000);
    expect(kernel.maintenance.pruned).toHaveLength(1);
    expect(kernel.maintenance.acknowledgements).toBe(1);
  });
});

describe("the control", () => {
  it("says what would go, what stays, and who holds it back, and changes nothing", async () => {
    const kernel = await atRest();
    kernel.maintenance.stable = 30;
    kernel.maintenance.heldBackBy = [{ member: "c", deviceId: "c", name: "Phone", acknowledgedUpToMs: null }];
    expect(kernel.get(ackPruningControl).lastResult()).toMatchObject({ stamps: 0 });
    expect(await kernel.get(ackPruningControl).dryRun()).toEqual({
      stamps: 30,
      staysInLog: 5,
      hiddenRecords: 0,
      upToMs: Date.UTC(2026, 0, 1),
      heldBackBy: kernel.maintenance.heldBackBy,
    });
    expect(kernel.maintenance.stable).toBe(30);
  });
});

describe("a member that blocks", () => {
  const blocker = { member: "c", deviceId: "phone", name: "Phone", acknowledgedUpToMs: null };
  const figures = (lagMs: number, pending = 3): PeerFigures => ({
    peer: "c",
    deviceId: "phone",
    name: "Phone",
    state: "ready",
    connected: false,
    failures: 0,
    pending,
    lagMs,
  });

  it("is worth one warning a day from the set time on", async () => {
    const kernel = await atRest({ warnAfterMs: 5 * HOUR_MS });
    kernel.maintenance.heldBackBy = [blocker];
    for (let hour = 1; hour <= 60; hour++) {
      kernel.peers = [figures(hour * HOUR_MS)];
      await kernel.clock.advance(HOUR_MS);
      if (hour === 4) expect(kernel.logger.at("warn")).toEqual([]);
    }
    expect(kernel.logger.at("warn")).toHaveLength(3);
    expect(kernel.logger.at("warn")[0]!.fields).toMatchObject({
      member: "c",
      name: "Phone",
      pending: 3,
      blockedForMs: 5 * HOUR_MS,
    });
  });

  it("is none when it lacks nothing that is here, or holds nothing back any more", async () => {
    const kernel = await atRest({ warnAfterMs: 0 });
    const startedMs = kernel.clock.now() - 5_000;
    kernel.maintenance.heldBackBy = [blocker];
    kernel.peers = [figures(0, 0)];
    await kernel.clock.advance(HOUR_MS);
    expect(kernel.get(ackPruningControl).blockedBy()).toEqual([]);
    kernel.peers = [figures(HOUR_MS)];
    await kernel.clock.advance(HOUR_MS);
    expect(kernel.get(ackPruningControl).blockedBy()).toEqual([
      { member: "c", deviceId: "phone", name: "Phone", sinceMs: startedMs + HOUR_MS, pending: 3 },
    ]);
    kernel.maintenance.heldBackBy = [];
    await kernel.clock.advance(HOUR_MS);
    expect(kernel.get(ackPruningControl).blockedBy()).toEqual([]);
  });
});
