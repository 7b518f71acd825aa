import type { CatchUpDecision } from "@tidemark/plugin-api";
import { expect, it } from "vitest";
import { type BackoffFacts, backoffChecks, backoffScenario, type Failures } from "./backoff.js";
import { faultsIn, runSmall } from "./scenarios.test-support.js";

it("waits longer after each failure, takes everything anew, and begins again after a success", {
  timeout: 60_000,
}, async () => {
  const outcome = await runSmall(backoffScenario);
  expect(outcome.checks.length).toBeGreaterThan(8);
  expect(faultsIn(outcome)).toEqual([]);
});

const SECONDS = [10, 20, 40, 80, 160, 300, 300];

function failures(delays: readonly number[], first = 1): Failures {
  return {
    decisions: delays.map(
      (delay, index): CatchUpDecision => ({
        action: index + first === 5 ? "full-backfill" : "retry",
        delayMs: delay * 1_000,
      }),
    ),
    decidedBy: delays.map(() => "backoff"),
    waitsMs: delays.slice(0, -1).map((delay) => delay * 1_000),
  };
}

const good: BackoffFacts = {
  plain: failures(SECONDS),
  phases: ["live", "catch-up", "catch-up", "catch-up", "catch-up", "backfill", "backfill"],
  recovered: true,
  backfills: 2,
  afterSuccess: { action: "retry", delayMs: 10_000 },
  afterRestart: failures([80, 160], 4),
  attemptsInsideTheWait: 0,
  jittered: [failures(SECONDS.map((delay, index) => delay * (0.95 + index / 100)))],
};

it("finds nothing wrong where nothing is", () => {
  expect(faultsIn({ checks: backoffChecks(good) })).toEqual([]);
});

it.each<[string, Partial<BackoffFacts>]>([
  ["before jitter", { plain: { ...failures([10, 20, 40, 80, 160, 300, 301]) } }],
  ["decided by backoff", { plain: { ...good.plain, decidedBy: ["backoff", "kernel"] } }],
  ["waits as long", { plain: { ...good.plain, waitsMs: [10_000, 19_999, 40_000, 80_000, 160_000, 300_000] } }],
  ["waits as long", { plain: { ...good.plain, waitsMs: [10_000, 23_000, 40_000, 80_000, 160_000, 300_000] } }],
  ["taken anew", { plain: failures(SECONDS, 2) }],
  ["fails from then on", { phases: good.phases.map(() => "catch-up") }],
  ["hold the same", { recovered: false }],
  ["the second one", { backfills: 1 }],
  ["count anew", { afterSuccess: { action: "retry", delayMs: 300_000 } }],
  ["cut a wait short", { attemptsInsideTheWait: 1 }],
  ["nor does it begin", { afterRestart: failures([10, 20]) }],
  ["within 10 %", { jittered: [failures(SECONDS.map((delay, index) => delay * (1.05 + index / 100)))] }],
  ["within 10 %", { jittered: [failures([10, 20.1, 40.1])] }],
  ["chance decides", { jittered: [failures(SECONDS.map((delay) => delay * 1.05))] }],
])("notices: %s", (what, spoilt) => {
  const faults = faultsIn({ checks: backoffChecks({ ...good, ...spoilt }) });
  expect(faults.join("\n")).toContain(what);
  expect(faults).toHaveLength(1);
});
