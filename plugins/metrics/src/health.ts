// Judges figures by the thresholds of the settings. It measures nothing and keeps nothing.

import type { ResolvedMetricsSettings } from "./settings.js";

/** `degraded` is worth a look, `failing` needs somebody. */
export type HealthStatus = "ok" | "degraded" | "failing";

/** The code names a threshold of `settings.health`. */
export interface HealthReason {
  readonly code: keyof ResolvedMetricsSettings["health"];
  readonly status: Exclude<HealthStatus, "ok">;
  /** What was measured, in the unit of the threshold. */
  readonly value: number;
  readonly threshold: number;
  /** For people; names the peer or member, if it is one. */
  readonly text: string;
}

/** The worst of the reasons decides; without any it is `ok`. */
export interface Health {
  readonly status: HealthStatus;
  /** The worst first. */
  readonly reasons: readonly HealthReason[];
}

/** One measurement, with who it is of. */
export interface Measured {
  readonly value: number;
  readonly who?: string;
}

export type HealthFigures = { readonly [Code in HealthReason["code"]]: Measured };

const TEXTS: { readonly [Code in HealthReason["code"]]: (value: number, who: string) => string } = {
  waitingMs: (value) => `somebody has been waiting for a connection for ${seconds(value)}`,
  saturation: (value) => `${percent(value)} of the connections are lent`,
  lagMs: (value, who) => `${who} lags ${seconds(value)} behind`,
  parkedMs: (value, who) => `a ${who} record has been kept outside of its table for ${seconds(value)}`,
  pruningBlockedMs: (value, who) => `${who} has kept others from pruning for ${seconds(value)}`,
  escalationShare: (value) => `${percent(value)} of the rounds ended in a full backfill or were given up`,
};

export function judge(figures: HealthFigures, thresholds: ResolvedMetricsSettings["health"]): Health {
  const reasons: HealthReason[] = [];
  for (const code of Object.keys(figures) as HealthReason["code"][]) {
    const { value, who = "" } = figures[code];
    for (const status of ["failing", "degraded"] as const) {
      const threshold = thresholds[code][status];
      if (threshold === null || value <= threshold) continue;
      reasons.push({ code, status, value, threshold, text: TEXTS[code](value, who) });
      break;
    }
  }
  reasons.sort((a, b) => Number(b.status === "failing") - Number(a.status === "failing"));
  return { status: reasons[0]?.status ?? "ok", reasons };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}

function percent(share: number): string {
  return `${Math.round(share * 1_000) / 10} %`;
}
