// The settings of the plugin, with their defaults and limits.

import { z } from "zod";

const MIB = 1_048_576;

export const parallelBackfillSettings = z.strictObject({
  /** Pages that are asked for and not yet applied, over all peers, 1–64. Default 4. */
  concurrency: z.int().min(1).max(64).default(4),
  /** Of these, pages that one peer is asked for at once, 1–10. Default 4. */
  concurrencyPerPeer: z.int().min(1).max(10).default(4),
  /**
   * Bytes of pages that are asked for and not yet applied, as they travel, 1 MiB–1 GiB. Each of the `concurrency` pages has
   * an equal share of it, and is made shorter where it would be larger. Default 16 MiB.
   */
  maxBytesInFlight: z
    .int()
    .min(MIB)
    .max(1_024 * MIB)
    .default(16 * MIB),
});

/** What an operator writes. */
export type ParallelBackfillSettings = z.input<typeof parallelBackfillSettings>;
/** The settings with all defaults filled in. */
export type ResolvedParallelBackfillSettings = z.output<typeof parallelBackfillSettings>;

declare module "@tidemark/plugin-api" {
  interface PluginSettings {
    readonly "parallel-backfill": ParallelBackfillSettings;
  }
}
