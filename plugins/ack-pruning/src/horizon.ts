// Up to which time the chosen strategy allows to forget.

import type { ResolvedAckPruningSettings } from "./settings.js";

const DAY_MS = 24 * 3_600_000;
/** A time of the hybrid logical clock is `(milliseconds since 2020-01-01) * 4096 + counter`. */
const HLC_EPOCH_MS = Date.UTC(2020, 0, 1);
const HLC_TICKS_PER_MS = 4_096;

export interface Horizon {
  /** In milliseconds since the epoch. */
  readonly upToMs: number;
  /** The same as a time of the hybrid logical clock, as `prune` takes it. */
  readonly upToHlc: number;
}

/** Null for `acknowledged`, which knows no limit but the stable point; else the newest time that is `keepDays` old. */
export function horizon(
  { strategy, keepDays = 0 }: Pick<ResolvedAckPruningSettings, "strategy" | "keepDays">,
  nowMs: number,
): Horizon | null {
  if (strategy === "acknowledged") return null;
  const upToMs = Math.max(HLC_EPOCH_MS, Math.floor(nowMs - keepDays * DAY_MS));
  return { upToMs, upToHlc: (upToMs - HLC_EPOCH_MS) * HLC_TICKS_PER_MS };
}
