// The settings of the plugin, with their defaults and limits.

import { z } from "zod";

const durationMs = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** From which value on something is degraded, and from which on it fails; `null`: it never does. */
const threshold = (value: z.ZodNumber, degraded: number, failing: number | null) =>
  z
    .strictObject({ degraded: value.nullable().default(degraded), failing: value.nullable().default(failing) })
    .refine(({ degraded, failing }) => degraded === null || failing === null || degraded <= failing, {
      message: "degraded must not exceed failing",
      path: ["degraded"],
    })
    .prefault({});

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const ms = z.number().min(0);
const share = z.number().min(0).max(1);

export const metricsSettings = z.strictObject({
  /** How often figures that no event carries are read, history is written and health is judged, in ms. Default 15,000. */
  sampleMs: durationMs.min(100).default(15_000),
  /** Samples that are kept, 2–100,000. Default 240: an hour. */
  historySamples: z.int().min(2).max(100_000).default(240),
  /** Thresholds of health; above them it is degraded, or fails. */
  health: z
    .strictObject({
      /** For how long somebody has waited for a connection without a break, in ms. Default 1,000 and 15,000. */
      waitingMs: threshold(ms, 1_000, 15_000),
      /** Share of the connections that are lent. Default 0.8 and never. */
      saturation: threshold(share, 0.8, null),
      /** Lag of a connected peer, in ms. Default 5 minutes and an hour. */
      lagMs: threshold(ms, 5 * MINUTE_MS, HOUR_MS),
      /** Age of the oldest record that is hidden, quarantined or deferred, in ms. Default an hour and never. */
      parkedMs: threshold(ms, HOUR_MS, null),
      /** For how long a member has kept others from pruning, in ms. Default 7 days and never. */
      pruningBlockedMs: threshold(ms, 7 * 24 * HOUR_MS, null),
      /** Escalations per round, within the history. Default 0.01 and 0.1. */
      escalationShare: threshold(share, 0.01, 0.1),
    })
    .prefault({}),
  /** The warning when somebody waits for a connection. */
  waitWarning: z
    .strictObject({
      /** Waiting for so long is worth a warning, in ms. Default 250. */
      afterMs: durationMs.default(250),
      /** At most one warning in so long, in ms. Default 60,000. */
      everyMs: durationMs.default(MINUTE_MS),
    })
    .prefault({}),
  /** What the kernel is advised to while the pool is under pressure; false: nothing. */
  poolAdvice: z
    .union([
      z.literal(false),
      z.strictObject({
        /** Records in a write slice at most. Default 100. */
        maxSliceRecords: z.int().min(1).max(10_000).default(100),
        /** Pause before each slice while somebody waits, in ms. Default 20. */
        pauseMs: z.int().min(0).max(10_000).default(20),
        /** Pages in work at once while somebody waits. Default 1. */
        maxConcurrency: z.int().min(1).max(100).default(1),
      }),
    ])
    .prefault({}),
  /** A line in the log after so many records of a backfill; 0: none. Default 10,000. */
  progressRecords: z.int().min(0).default(10_000),
  /** Serves the figures as text for Prometheus, on this machine only. Absent: not. */
  prometheus: z
    .strictObject({
      /** 0 takes any free port; the service `metricsReader` tells which. Default 9464. */
      port: z.int().min(0).max(65_535).default(9_464),
      /** Which loopback address. Default `127.0.0.1`. */
      host: z.enum(["127.0.0.1", "::1"]).default("127.0.0.1"),
    })
    .optional(),
  /** Gives the figures to the meter of the global OpenTelemetry API. Default false. */
  openTelemetry: z.boolean().default(false),
});

/** What an operator writes. */
export type MetricsSettings = z.input<typeof metricsSettings>;
/** The settings with all defaults filled in. */
export type ResolvedMetricsSettings = z.output<typeof metricsSettings>;

declare module "@tidemark/plugin-api" {
  interface PluginSettings {
    readonly metrics: MetricsSettings;
  }
}
