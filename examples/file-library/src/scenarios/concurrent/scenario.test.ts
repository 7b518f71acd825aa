import { expect, it } from "vitest";
import { stderrLogger } from "../../demo/stderr-logger.js";
import { systemClock } from "../../demo/system-clock.js";
import { systemRandom } from "../../demo/system-random.js";
import { faultsIn, runSmall } from "../scenarios.test-support.js";
import { LocalDevice } from "./device.js";
import { type ConcurrentFacts, concurrentChecks, concurrentIndexing } from "./scenario.js";

/** In small, with both devices in this process and WebSockets between them. */
it("keeps two devices in step that index while they sync", { timeout: 60_000 }, async () => {
  const deps = { clock: systemClock, random: systemRandom, logger: stderrLogger() };
  const outcome = await runSmall(concurrentIndexing((_, onProgress) => new LocalDevice({ ...deps, onProgress })));
  expect(outcome.checks.length).toBeGreaterThan(8);
  expect(faultsIn(outcome)).toEqual([]);
});

/** What two devices with ten entries each would end with. */
function goodFacts(): ConcurrentFacts {
  const model = (rows: number) => ({ rows, digest: "d", independentDigest: "i" });
  const comparison = { models: { Entry: model(20), Location: model(2) }, foreignKeyViolations: 0 };
  const parked = { hidden: 0, dead: 0, quarantined: 0, deferred: 0, foreign: 0 };
  const status = {
    idle: true,
    readyPeers: 1,
    backfilling: false,
    outbox: 0,
    logEntries: 0,
    syncTableBytes: 1,
    parked,
    rows: {},
  };
  const pool = {
    limit: 30,
    mostLent: 2,
    mostWaiting: 0,
    timeOuts: 0,
    readerLeases: 1,
    longestReaderWaitMs: 0,
    writeSlices: 1,
    longestWriterWaitMs: 0,
    longestWriteSliceMs: 0,
    longestWriteSlice: "fold",
  };
  const statements = { batched: 3, single: 0, ofTheKernel: 1 };
  const figures = {
    pool,
    statements,
    resolverQueries: 2,
    referenceLookups: 0,
    batches: {},
    failures: [],
    backfills: 1,
  };
  return {
    sizes: { locations: { one: 10 }, ownEntries: 10, perTransaction: 5, joinAfter: 1, mostReferenceQueries: 5 },
    comparison: { A: comparison, B: comparison },
    status: { A: status, B: status },
    figures: { A: figures, B: figures },
    leftWhenJoined: 5,
    durationMs: 1,
  };
}

it("finds nothing wrong where nothing is", () => {
  expect(faultsIn({ checks: concurrentChecks(goodFacts()) })).toEqual([]);
});

it.each<[string, (facts: ConcurrentFacts) => ConcurrentFacts]>([
  ["was still indexing", (facts) => ({ ...facts, leftWhenJoined: 0 })],
  ["timed out", (facts) => withB(facts, { pool: { ...facts.figures.B.pool, timeOuts: 1 } })],
  ["for as long as that", (facts) => withB(facts, { pool: { ...facts.figures.B.pool, longestWriterWaitMs: 30_000 } })],
  ["failed", (facts) => withB(facts, { failures: ["TIDEMARK_SESSION_LOST"] })],
  ["took in the library once", (facts) => withB(facts, { backfills: 2 })],
  [
    "both hold the same",
    (facts) => withModels(facts, { Entry: { rows: 20, digest: "d", independentDigest: "other" } }),
  ],
  [
    "both hold the same",
    (facts) => withModels(facts, { Entry: { rows: 20, digest: "other", independentDigest: "i" } }),
  ],
  ["all entries", (facts) => ({ ...facts, sizes: { ...facts.sizes, ownEntries: 11 } })],
  ["all locations", (facts) => ({ ...facts, sizes: { ...facts.sizes, locations: { one: 5, two: 5 } } })],
  [
    "every reference holds",
    (facts) => ({
      ...facts,
      comparison: { ...facts.comparison, B: { ...facts.comparison.B, foreignKeyViolations: 1 } },
    }),
  ],
  [
    "nothing is parked",
    (facts) => ({
      ...facts,
      status: { ...facts.status, B: { ...facts.status.B, parked: { ...facts.status.B.parked, deferred: 1 } } },
    }),
  ],
  ["at most 5 times", (facts) => withB(facts, { statements: { batched: 6, single: 0, ofTheKernel: 0 } })],
  ["at most 5 times", (facts) => withB(facts, { statements: { batched: 0, single: 0, ofTheKernel: 0 } })],
  ["by itself", (facts) => withB(facts, { statements: { batched: 3, single: 1, ofTheKernel: 0 } })],
])("notices: %s", (what, spoil) => {
  const faults = faultsIn({ checks: concurrentChecks(spoil(goodFacts())) });
  expect(faults).toHaveLength(1);
  expect(faults[0]).toContain(what);
});

function withB(facts: ConcurrentFacts, change: Partial<ConcurrentFacts["figures"]["B"]>): ConcurrentFacts {
  return { ...facts, figures: { ...facts.figures, B: { ...facts.figures.B, ...change } } };
}

function withModels(facts: ConcurrentFacts, models: ConcurrentFacts["comparison"]["A"]["models"]): ConcurrentFacts {
  const { B } = facts.comparison;
  return { ...facts, comparison: { ...facts.comparison, B: { ...B, models: { ...B.models, ...models } } } };
}
