// What the plugin offers to the application and to other plugins.

import { createServiceToken } from "@tidemark/plugin-api";
import type { Health } from "./health.js";
import type { HistorySample } from "./history.js";
import type { MetricsSnapshot } from "./snapshot.js";

/** Reads the figures. Nothing here waits or touches the database. */
export interface MetricsReader {
  /** All figures as of now, as plain data. */
  snapshot(): MetricsSnapshot;
  /** The latest samples, oldest first. */
  history(): readonly HistorySample[];
  /** How the kernel is, and why. */
  health(): Health;
  /** Where Prometheus can fetch the figures; null when that is off. */
  prometheusUrl(): string | null;
}

/** The service of this plugin. */
export const metricsReader = createServiceToken<MetricsReader>("metrics.reader");
