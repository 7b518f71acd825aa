import { SeededRandom } from "@tidemark/core/testing";
import { type CatchUpFailure, TidemarkError } from "@tidemark/plugin-api";
import { expect, it } from "vitest";
import { decide } from "./catch-up-decision.js";
import { backoffSettings } from "./settings.js";

const settings = backoffSettings.parse({ jitter: 0 });
const error = new TidemarkError({
  code: "TIDEMARK_PEER_OTHER_LIBRARY",
  what: "The peer can't be synced with",
  why: "it belongs to another library",
  advice: "Check `library.id`",
});

function decisionOn(failure: Partial<CatchUpFailure>) {
  return decide({
    failure: { phase: "catch-up", failures: 1, retryable: true, error, ...failure },
    settings,
    random: new SeededRandom(1),
  });
}

it("tries again four times and takes everything anew from the fifth failure in a row on", () => {
  expect([1, 2, 3, 4, 5, 6].map((failures) => decisionOn({ failures }))).toEqual([
    { action: "retry", delayMs: 10_000 },
    { action: "retry", delayMs: 20_000 },
    { action: "retry", delayMs: 40_000 },
    { action: "retry", delayMs: 80_000 },
    { action: "full-backfill", delayMs: 160_000 },
    { action: "full-backfill", delayMs: 300_000 },
  ]);
});

it("escalates live sync like a catch-up, and lets a backfill go on from its checkpoint", () => {
  expect(decisionOn({ failures: 5, phase: "live" })).toMatchObject({ action: "full-backfill" });
  expect(decisionOn({ failures: 5, phase: "backfill" })).toEqual({ action: "retry", delayMs: 160_000 });
});

it.each([1, 5, 100])(
  "gives up at once what no retry can mend, and says why and what to do (failure %i)",
  (failures) => {
    expect(decisionOn({ failures, retryable: false })).toEqual({
      action: "give-up",
      reason: "no retry can mend TIDEMARK_PEER_OTHER_LIBRARY: it belongs to another library. Check `library.id`",
    });
  },
);
