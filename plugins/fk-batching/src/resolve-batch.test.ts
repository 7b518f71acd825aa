import { ManualClock, RecordingLogger } from "@tidemark/core/testing";
import { type ApplyBatch, noopMeter, type RecordKeys } from "@tidemark/plugin-api";
import { expect, it } from "vitest";
import { batchOf, FakeRecordKeys, reference } from "./batches.test-support.js";
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
    resolve: (batch: ApplyBatch) => resolveBatch(batch, { resolver, counts, clock, logger, maxWaitMs }),
  };
}

const resolutionsOf = (batch: ApplyBatch | undefined) =>
  batch?.operations.flatMap(({ references }) => references.map(({ resolution }) => resolution));

it("asks once for each model that is referred to, whatever columns and however many references", async () => {
  const recordKeys = new FakeRecordKeys({ Location: { l1: 1 }, Content: { c1: 11, c2: "k" }, Entry: { e0: 7n } });
  const { resolve, counts } = setUp(recordKeys);
  const resolved = await resolve(
    batchOf(
      { record: "e1", references: [reference("location", "Location", "l1"), reference("content", "Content", "c1")] },
      { record: "e2", references: [reference("location", "Location", "l1"), reference("cover", "Content", "c2")] },
      { record: "e3", references: [reference("parent", "Entry", "e0"), reference("content", "Content", "c3")] },
    ),
  );
  expect(recordKeys.asked).toEqual(["Location: l1", "Content: c1 c2 c3", "Entry: e0"]);
  expect(resolutionsOf(resolved)).toEqual([
    { kind: "found", localKey: 1 },
    { kind: "found", localKey: 11 },
    { kind: "found", localKey: 1 },
    { kind: "found", localKey: "k" },
    { kind: "found", localKey: 7n },
    { kind: "missing", identity: "c3" },
  ]);
  expect(counts.stats()).toEqual({
    batches: 1,
    references: 6,
    missing: 1,
    queries: 3,
    lookupsSaved: 6,
    leftToKernel: 0,
  });
});

it("changes nothing else, and nothing of operations without news", async () => {
  const { resolve } = setUp(new FakeRecordKeys({ Location: { l1: 1 } }));
  const batch = batchOf(
    { record: "e1", values: { location: "l1", note: null }, references: [reference("location", "Location", "l1")] },
    { record: "e2", values: { location: null } },
  );
  const resolved = await resolve(batch);
  expect(resolved!.operations[1]).toBe(batch.operations[1]);
  expect(resolved).toEqual({
    ...batch,
    operations: [
      {
        ...batch.operations[0],
        references: [reference("location", "Location", "l1", { kind: "found", localKey: 1 })],
      },
      batch.operations[1],
    ],
  });
});

it("asks nothing for nulls, deleted records, and what another plugin has resolved", async () => {
  const recordKeys = new FakeRecordKeys({ Location: { l1: 1, l2: 2 } });
  const { resolve, counts } = setUp(recordKeys);
  const batch = batchOf(
    { record: "e1", values: { location: null } },
    { record: "e2", kind: "delete", references: [reference("location", "Location", "l1")] },
    { record: "e3", references: [reference("location", "Location", "l2", { kind: "missing" })] },
  );
  expect(await resolve(batch)).toBeUndefined();
  expect(recordKeys.asked).toEqual([]);
  expect(counts.stats()).toMatchObject({ batches: 0, queries: 0 });
});

it("asks for targets in the batch itself too, for they may have been here before, and counts them as no saving", async () => {
  const recordKeys = new FakeRecordKeys({ Entry: { e1: 1 } });
  const { resolve, counts } = setUp(recordKeys);
  const resolved = await resolve(
    batchOf(
      { record: "e1", references: [reference("parent", "Entry", "e2")] },
      { record: "e2", references: [reference("parent", "Entry", "e1")] },
    ),
  );
  expect(recordKeys.asked).toEqual(["Entry: e2 e1"]);
  expect(resolutionsOf(resolved)).toEqual([
    { kind: "missing", identity: "e2" },
    { kind: "found", localKey: 1 },
  ]);
  expect(counts.stats()).toMatchObject({ references: 2, missing: 1, lookupsSaved: 0 });
});

it("asks in chunks, for every identity once", async () => {
  const recordKeys = new FakeRecordKeys({ Location: { l1: 1, l2: 2, l5: 5 } });
  const { resolve } = setUp(recordKeys, { chunkRecords: 2 });
  const identities = ["l1", "l2", "l3", "l2", "l1", "l4", "l5"];
  const resolved = await resolve(
    batchOf(
      ...identities.map((identity, index) => ({
        record: `e${index}`,
        references: [reference("location", "Location", identity)],
      })),
    ),
  );
  expect(recordKeys.asked).toEqual(["Location: l1 l2", "Location: l3 l4", "Location: l5"]);
  expect(resolutionsOf(resolved)!.map((resolution) => resolution!.kind)).toEqual([
    "found",
    "found",
    "missing",
    "found",
    "found",
    "missing",
    "found",
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
  const resolved = await resolve(
    batchOf({
      record: "e1",
      references: [reference("location", "Location", "l1"), reference("content", "Content", "c1")],
    }),
  );
  expect(resolutionsOf(resolved)).toEqual([{ kind: "found", localKey: 1 }, undefined]);
  expect(counts.stats()).toMatchObject({ references: 1, leftToKernel: 1 });
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
  const resolving = resolve(batchOf({ record: "e1", references: [reference("location", "Location", "l1")] }));
  await clock.advance(499);
  expect(warnings()).toEqual([]);
  await clock.advance(1);
  const resolved = await resolving;
  answer(new Map([["l1", 1]]));
  await clock.settle();
  expect(resolutionsOf(resolved)).toEqual([undefined]);
  expect(counts.stats()).toMatchObject({ references: 0, leftToKernel: 1 });
  expect(warnings()).toHaveLength(1);
  expect(clock.pendingTimers).toBe(0);
});
