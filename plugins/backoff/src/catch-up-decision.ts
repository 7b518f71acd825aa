// What to do about a failed catch-up: give up what no retry can mend, else wait longer each time, and after some failures
// in a row take everything anew. The count of failures is the kernel's: per peer, stored, and reset by a success.

import type { CatchUpDecision, CatchUpFailure, Random } from "@tidemark/plugin-api";
import { backoffDelayMs } from "./backoff-delay.js";
import type { ResolvedBackoffSettings } from "./settings.js";

export function decide({
  failure,
  settings,
  random,
}: {
  readonly failure: Pick<CatchUpFailure, "phase" | "failures" | "retryable" | "error">;
  readonly settings: ResolvedBackoffSettings;
  readonly random: Random;
}): CatchUpDecision {
  const { phase, failures, retryable, error } = failure;
  if (!retryable) {
    return { action: "give-up", reason: `no retry can mend ${error.code}: ${error.why}. ${error.advice}` };
  }
  const delayMs = backoffDelayMs(settings, failures, random.next());
  // A backfill that failed has nothing to become: it goes on from its last checkpoint.
  const escalate = phase !== "backfill" && failures >= settings.failuresBeforeBackfill;
  return { action: escalate ? "full-backfill" : "retry", delayMs };
}
