import { ManualClock, RecordingLogger } from "@tidemark/core/testing";
import { noopMeter, type RecordKeys } from "@tidemark/plugin-api";
import { expect, it } from "vitest";
import { batchOf, FakeRecordKeys } from "./batches.test-support.js";
import { ChunkedResolver } from "./reference-resolver.js";
import { resolveBatch } from "./resolve-batch.js";
import { ResolverCounts } from "./resolver-counts.js";

function setUp(recordKeys: RecordKeys, { chunkRecords = 5_000, maxWaitMs = 2_000 } = {}) {
  const counts = new ResolverCounts(noopMeter);
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const resolver = new ChunkedResolver({ recordKeys, chunkRecords, counts });
  return {
    clock,
    counts,
    warnings: () => logger.lines.filter(({ level }) => level === "warn"),
    resolve: (batch: ReturnType<typeof batchOf>) => resolveBatch(batch, { resolver, counts, clock, logger, maxWaitMs }),
  };
}

it("asks once for each model that is referred to, however many references go there", async () => {
  const recordKeys = new FakeRecordKeys({ Location: { l1: 1 }, Content: { c1: 11, c2: "k" }, Entry: { e0: 7n } });
  const { resolve, counts } = setUp(recordKeys);
  const resolved = await resolve(batchOf({ Location: { l1: 2 }, Content: { c1: 1, c2: 1, c3: 1 }, Entry: { e0: 1 } }));
  expect(recordKeys.asked).toEqual(["Location: l1", "Content: c1 c2 c3", "Entry: e0"]);
  expect(resolved).toEqual({
    resolutions: new Map([
      ["Location", new Map([["l1", { kind: "found", localKey: 1 }]])],
      [
        "Content",
        new Map<string, unknown>([
          ["c1", { kind: "found", localKey: 11 }],
          ["c2", { kind: "found", localKey: "k" }],
          ["c3", { kind: "missing", identity: "c3" }],
        ]),
      ],
      ["Entry", new Map([["e0", { kind: "found", localKey: 7n }]])],
    ]),
  });
  expect(counts.stats()).toEqual({
    batches: 1,
    references: 6,
    missing: 1,
    queries: 3,
    lookupsSaved: 6,
    leftToKernel: 0,
  });
});

it("asks nothing when nothing is left to find out", async () => {
  const recordKeys = new FakeRecordKeys();
  const { resolve, counts } = setUp(recordKeys);
  expect(await resolve(batchOf({}))).toBeUndefined();
  expect(recordKeys.asked).toEqual([]);
  expect(counts.stats()).toMatchObject({ batches: 0, queries: 0 });
});

it("asks for targets in the batch itself too, for they may have been here before, and counts them as no saving", async () => {
  const recordKeys = new FakeRecordKeys({ Entry: { e1: 1, e3: 3 } });
  const { resolve, counts } = setUp(recordKeys);
  await resolve(batchOf({ Entry: { e2: 1, e1: 1, e3: 2 } }, { Entry: ["e1", "e2"] }));
  expect(recordKeys.asked).toEqual(["Entry: e2 e1 e3"]);
  expect(counts.stats()).toMatchObject({ references: 4, missing: 1, lookupsSaved: 2 });
});

it("asks in chunks", async () => {
  const recordKeys = new FakeRecordKeys({ Location: { l1: 1, l2: 2, l5: 5 } });
  const { resolve } = setUp(recordKeys, { chunkRecords: 2 });
  const resolved = await resolve(batchOf({ Location: { l1: 2, l2: 2, l3: 1, l4: 1, l5: 1 } }));
  expect(recordKeys.asked).toEqual(["Location: l1 l2", "Location: l3 l4", "Location: l5"]);
  expect([...resolved!.resolutions!.get("Location")!].map(([identity, { kind }]) => [identity, kind])).toEqual([
    ["l1", "found"],
    ["l2", "found"],
    ["l3", "missing"],
    ["l4", "missing"],
    ["l5", "found"],
  ]);
});

it("leaves to the kernel what could not be asked, and keeps what could", async () => {
  class Failing extends FakeRecordKeys {
    override async localKeysFor(request: { readonly model: string; readonly identities: readonly string[] }) {
      if (request.model === "Content") throw new Error("no connection to be had");
      return super.localKeysFor(request);
    }
  }
  const { resolve, counts, warnings } = setUp(new Failing({ Location: { l1: 1 } }));
  const resolved = await resolve(batchOf({ Location: { l1: 1 }, Content: { c1: 3 } }));
  expect([...resolved!.resolutions!.keys()]).toEqual(["Location"]);
  expect(counts.stats()).toMatchObject({ references: 1, leftToKernel: 3 });
  expect(warnings()).toHaveLength(1);
});

it("waits no longer than it may, and takes no answer that comes too late", async () => {
  let answer: (keys: ReadonlyMap<string, number>) => void = () => {};
  class Slow extends FakeRecordKeys {
    override localKeysFor(): Promise<Map<string, number>> {
      return new Promise((resolve) => {
        answer = resolve as typeof answer;
      });
    }
  }
  const { clock, resolve, counts, warnings } = setUp(new Slow(), { maxWaitMs: 500 });
  const resolving = resolve(batchOf({ Location: { l1: 1 } }));
  await clock.advance(499);
  expect(warnings()).toEqual([]);
  await clock.advance(1);
  const resolved = await resolving;
  answer(new Map([["l1", 1]]));
  await clock.settle();
  expect(resolved).toEqual({ resolutions: new Map() });
  expect(counts.stats()).toMatchObject({ references: 0, leftToKernel: 1 });
  expect(warnings()).toHaveLength(1);
  expect(clock.pendingTimers).toBe(0);
});
