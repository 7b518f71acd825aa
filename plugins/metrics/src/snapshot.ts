// The figures as JSON, for programs. Its shape is versioned: fields may be added, but none changes its meaning within a
// version.

import { catalogue, type MetricDefinition, type MetricKind, metricNames } from "./catalogue.js";
import type { Figures, Series } from "./figures.js";
import type { Health } from "./health.js";

/** One metric with its series. */
export interface MetricSnapshot {
  readonly name: string;
  readonly kind: MetricKind;
  /** In UCUM. */
  readonly unit: string;
  readonly series: readonly Series[];
}

/** Everything, as of one moment. Plain data. */
export interface MetricsSnapshot {
  readonly version: 1;
  /** In milliseconds since the epoch. */
  readonly atMs: number;
  readonly health: Health;
  /** Those that have been fed. */
  readonly metrics: readonly MetricSnapshot[];
}

export function snapshotOf({
  figures,
  health,
  atMs,
}: {
  readonly figures: Figures;
  readonly health: Health;
  readonly atMs: number;
}): MetricsSnapshot {
  const metrics = metricNames.flatMap((name): MetricSnapshot[] => {
    const { kind, unit }: MetricDefinition = catalogue[name];
    const series = figures.seriesOf(name);
    return series.length === 0 ? [] : [{ name, kind, unit, series }];
  });
  return { version: 1, atMs, health, metrics };
}
