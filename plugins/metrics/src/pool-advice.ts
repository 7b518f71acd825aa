// What the kernel is advised to while connections are short: smaller slices, and a pause while others wait. The kernel
// takes its own size back once the pressure is over.

import type { PoolAdvice, PoolPressure } from "@tidemark/plugin-api";
import type { ResolvedMetricsSettings } from "./settings.js";

export function adviseOn(
  { waiting }: PoolPressure,
  { maxSliceRecords, pauseMs, maxConcurrency }: Exclude<ResolvedMetricsSettings["poolAdvice"], false>,
): PoolAdvice {
  // Near the limit shorter leases are enough; a pause would only make less of what is free.
  return waiting > 0 ? { maxSliceRecords, pauseMs, maxConcurrency } : { maxSliceRecords };
}
