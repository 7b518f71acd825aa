import { expect, it } from "vitest";
import { type PruningFacts, pruning, pruningChecks } from "./pruning.js";
import { faultsIn, runSmall } from "./scenarios.test-support.js";

it("forgets what every member has, and nothing that one of them lacks", { timeout: 60_000 }, async () => {
  const outcome = await runSmall(pruning);
  expect(outcome.checks.length).toBeGreaterThan(8);
  expect(faultsIn(outcome)).toEqual([]);
});

const small = { logEntries: 0, bytes: 100, countedBytes: 100 };
const kept = { pruned: 0, logEntries: 70, heldBackBy: ["c"] };
const good: PruningFacts = {
  contents: 400,
  peak: { logEntries: 300, bytes: 1_000, countedBytes: 1_000 },
  afterPruning: [small, small],
  acknowledgements: [1, 1],
  twoInStep: true,
  changedMeanwhile: 70,
  whileAway: [kept, kept],
  backfillsOfThird: 1,
  recordsCaughtUp: 70,
  threeInStep: true,
  afterReturn: [small, small, small],
  lapsed: [
    { devices: ["c"], logEntries: 0 },
    { devices: ["c"], logEntries: 0 },
  ],
  newOrigin: true,
  backfillsOfReturned: 1,
  returnedInStep: true,
  unsentIsThere: true,
  afterLapse: [small, small, small],
  beforeRemoval: [
    { ...small, logEntries: 40 },
    { ...small, logEntries: 40 },
  ],
  afterRemoval: [small, small],
};

it("finds nothing wrong where nothing is", () => {
  expect(faultsIn({ checks: pruningChecks(good) })).toEqual([]);
});

it.each<[string, Partial<PruningFacts>]>([
  ["something to prune", { peak: { ...small, logEntries: 199 } }],
  ["acknowledged", { acknowledgements: [1, 0] }],
  ["two members hold the same", { twoInStep: false }],
  ["logs of both are empty", { afterPruning: [small, { ...small, logEntries: 1 }] }],
  ["under 1 MiB", { afterPruning: [{ ...small, countedBytes: 1_048_576 }, small] }],
  ["nothing is pruned that the third one lacks", { whileAway: [kept, { ...kept, pruned: 1 }] }],
  ["nothing is pruned that the third one lacks", { whileAway: [{ ...kept, logEntries: 69 }, kept] }],
  ["the one that holds back", { whileAway: [kept, { ...kept, heldBackBy: [] }] }],
  ["gets everything", { threeInStep: false }],
  ["without another backfill", { backfillsOfThird: 2 }],
  ["without another backfill", { recordsCaughtUp: 69 }],
  ["empty again", { afterReturn: [small, small, { ...small, logEntries: 1 }] }],
  ["lapses", { lapsed: [{ devices: [], logEntries: 0 }, good.lapsed[1]!] }],
  ["holds nobody back", { lapsed: [good.lapsed[0]!, { devices: ["c"], logEntries: 1 }] }],
  ["it returns", { returnedInStep: false }],
  ["under a new origin", { newOrigin: false }],
  ["under a new origin", { backfillsOfReturned: 0 }],
  ["nobody had heard of", { unsentIsThere: false }],
  ["once more", { afterLapse: [{ ...small, logEntries: 2 }, small, small] }],
  ["the others keep what it lacks", { beforeRemoval: [small, { ...small, logEntries: 40 }] }],
  ["nobody waits for it", { afterRemoval: [small, { ...small, logEntries: 1 }] }],
  ["and the sync tables under 1 MiB", { afterReturn: [small, { ...small, bytes: 2_000_000 }, small] }],
])("notices: %s", (what, spoilt) => {
  const faults = faultsIn({ checks: pruningChecks({ ...good, ...spoilt }) });
  expect(faults).toHaveLength(1);
  expect(faults[0]).toContain(what);
});
