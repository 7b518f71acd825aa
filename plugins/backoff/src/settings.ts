// The settings of the plugin, with their defaults and limits.

import { z } from "zod";
import { MIN_DELAY_MS } from "./backoff-delay.js";

/** A week; with the largest jitter still less than the longest delay that Node's timers can wait. */
const MAX_DELAY_MS = 7 * 24 * 3_600_000;

const delayMs = z.int().min(MIN_DELAY_MS).max(MAX_DELAY_MS);

export const backoffSettings = z
  .strictObject({
    /** The delay after the first failure, in milliseconds, 100 or more. Default 10,000. */
    baseMs: delayMs.default(10_000),
    /** What each delay is multiplied by to get the next, 1–10. Default 2. */
    factor: z.number().min(1).max(10).default(2),
    /** The longest delay before jitter, in milliseconds, from `baseMs` to a week. Default 300,000. */
    capMs: delayMs.default(300_000),
    /** The share of a delay by which chance may lengthen or shorten it, 0–1. Default 0.1. */
    jitter: z.number().min(0).max(1).default(0.1),
    /** After so many failures in a row a catch-up becomes a full backfill, 1–1,000. Default 5. */
    failuresBeforeBackfill: z.int().min(1).max(1_000).default(5),
  })
  .refine(({ baseMs, capMs }) => capMs >= baseMs, { message: "capMs must not be less than baseMs", path: ["capMs"] });

/** What an operator writes. */
export type BackoffSettings = z.input<typeof backoffSettings>;
/** The settings with all defaults filled in. */
export type ResolvedBackoffSettings = z.output<typeof backoffSettings>;

declare module "@tidemark/plugin-api" {
  interface PluginSettings {
    readonly backoff: BackoffSettings;
  }
}
