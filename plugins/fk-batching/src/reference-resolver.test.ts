import { noopMeter } from "@tidemark/plugin-api";
import { expect, it } from "vitest";
import { FakeRecordKeys } from "./batches.test-support.js";
import { ChunkedResolver } from "./reference-resolver.js";
import { ResolverCounts } from "./resolver-counts.js";

function setUp(chunkRecords = 2) {
  const recordKeys = new FakeRecordKeys({ Location: { l1: 1, l2: 2, l3: 3 } });
  return {
    recordKeys,
    resolver: new ChunkedResolver({ recordKeys, chunkRecords, counts: new ResolverCounts(noopMeter) }),
  };
}

it("gives an outcome for every identity, found or missing", async () => {
  const { recordKeys, resolver } = setUp();
  expect(await resolver.localKeysFor({ model: "Location", identities: ["l3", "l1", "l3", "nowhere"] })).toEqual(
    new Map([
      ["l3", { kind: "found", localKey: 3 }],
      ["l1", { kind: "found", localKey: 1 }],
      ["nowhere", { kind: "missing", identity: "nowhere" }],
    ]),
  );
  expect(recordKeys.asked).toEqual(["Location: l3 l1", "Location: nowhere"]);
});

it("goes the other way, in chunks too", async () => {
  const { recordKeys, resolver } = setUp();
  expect(await resolver.identitiesFor({ model: "Location", keys: [1, 2, 2, 3, 99] })).toEqual(
    new Map([
      [1, "l1"],
      [2, "l2"],
      [3, "l3"],
    ]),
  );
  expect(recordKeys.asked).toEqual(["Location: 1 2", "Location: 3 99"]);
  expect(resolver.stats()).toMatchObject({ queries: 2, batches: 0 });
});

it("asks nothing when nothing is asked", async () => {
  const { recordKeys, resolver } = setUp();
  expect(await resolver.localKeysFor({ model: "Location", identities: [] })).toEqual(new Map());
  expect(await resolver.identitiesFor({ model: "Location", keys: [] })).toEqual(new Map());
  expect(recordKeys.asked).toEqual([]);
});
