// Whether what a plugin answered to onCatchUpFailure can be acted on. A delay that is no number would never end, or end
// at once and for ever.

import type { CatchUpDecision } from "@tidemark/plugin-api";

/** Why `answer` is no decision; `undefined` when it is one. */
export function faultOfDecision(answer: unknown): string | undefined {
  const { action, delayMs, reason } = (typeof answer === "object" && answer !== null ? answer : {}) as {
    readonly [Key in keyof CatchUpDecision | "delayMs" | "reason"]?: unknown;
  };
  if (action === "give-up")
    return typeof reason === "string" && reason !== "" ? undefined : "`reason` must say why to give up";
  if (action !== "retry" && action !== "full-backfill") {
    return '`action` must be "retry", "full-backfill" or "give-up"';
  }
  const usable = typeof delayMs === "number" && Number.isFinite(delayMs) && delayMs >= 0;
  return usable ? undefined : "`delayMs` must be a number of milliseconds, 0 or more";
}
