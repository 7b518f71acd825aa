// The settings of the plugin, with their defaults and limits.

import { z } from "zod";

export const fkBatchingSettings = z.strictObject({
  /** Records that one query looks up at most, 1–5,000. Default 5,000, which is also what the kernel takes at once. */
  chunkRecords: z.int().min(1).max(5_000).default(5_000),
  /**
   * How long a batch waits for its queries, in milliseconds, 1–60,000. Then the kernel looks up by itself what is not
   * resolved yet. Default 2,000.
   */
  maxWaitMs: z.int().min(1).max(60_000).default(2_000),
});

/** What an operator writes. */
export type FkBatchingSettings = z.input<typeof fkBatchingSettings>;

declare module "@tidemark/plugin-api" {
  interface PluginSettings {
    readonly "fk-batching": FkBatchingSettings;
  }
}
