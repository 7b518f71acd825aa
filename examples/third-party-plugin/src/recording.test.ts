import assert from "node:assert/strict";
import { it } from "node:test";
import { ManualClock } from "@tidemark/core/testing";
import type { BatchEntry, DecisionEntry, HookEntry } from "./entry.js";
import { Recording } from "./recording.js";

const counts = { applied: 1, superseded: 0, parked: 0, quarantined: 0, rejected: 0, deferred: 0, conflicts: 0 };
const batch: BatchEntry = { kind: "batch", peer: "p", phase: "live", counts, durationMs: 1 };
const givenUp: DecisionEntry = {
  kind: "decision",
  peer: "p",
  action: "give-up",
  decidedBy: "kernel",
  reason: "removed",
};
const call: HookEntry = { kind: "hook", plugin: "x", hook: "afterBatch", outcome: "ok", durationMs: 2 };

it("keeps the last entries of each kind, so that a thousand batches don't push out the one decision", () => {
  const recording = new Recording({ keep: 3, clock: new ManualClock() });
  recording.add(givenUp);
  for (let count = 0; count < 1_000; count++) recording.add(batch);
  assert.deepEqual(
    recording.entries().map(({ kind, number }) => [kind, number]),
    [
      ["decision", 1],
      ["batch", 999],
      ["batch", 1_000],
      ["batch", 1_001],
    ],
  );
});

it("says when each thing happened", async () => {
  const clock = new ManualClock({ nowMs: Date.UTC(2026, 4, 1) });
  const recording = new Recording({ keep: 3, clock });
  await clock.advance(1_500);
  recording.add(batch);
  assert.deepEqual(recording.entries(), [{ ...batch, number: 1, at: "2026-05-01T00:00:01.500Z" }]);
});

it("adds up the time of each plugin's hooks, those that have taken most first", () => {
  const recording = new Recording({ keep: 3, clock: new ManualClock() });
  recording.addHookCall(call);
  recording.addHookCall({ ...call, plugin: "y", durationMs: 3 });
  recording.addHookCall({ ...call, outcome: "failed", durationMs: 5 });
  assert.deepEqual(recording.hookTimes(), [
    { plugin: "x", hook: "afterBatch", calls: 2, failures: 1, totalMs: 7, longestMs: 5 },
    { plugin: "y", hook: "afterBatch", calls: 1, failures: 0, totalMs: 3, longestMs: 3 },
  ]);
});
