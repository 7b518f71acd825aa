// The settings of the plugin, with their defaults and limits.

import { z } from "zod";

const DAY_MS = 24 * 3_600_000;
/** The longest delay that Node's timers can wait; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

const delayMs = z.int().min(0).max(MAX_DELAY_MS);

export const ackPruningSettings = z
  .strictObject({
    /**
     * What may be forgotten: what every member has (`acknowledged`), or of that only what is `keepDays` old
     * (`acknowledged-and-older-than`). Default `acknowledged`.
     */
    strategy: z.enum(["acknowledged", "acknowledged-and-older-than"]).default("acknowledged"),
    /**
     * How long entries are kept at least, in days, 0 to `membership.maxOfflineMs` of the kernel. Required by
     * `acknowledged-and-older-than`, and only there.
     */
    keepDays: z.number().min(0).max(36_500).optional(),
    /** How long acknowledgements are gathered before one is sent, in milliseconds. Default 1,000. */
    acknowledgeDelayMs: delayMs.default(1_000),
    /** How long acknowledgements of others are gathered before the log is pruned, in milliseconds. Default 2,000. */
    pruneDelayMs: delayMs.default(2_000),
    /** How often this device acknowledges and prunes without any reason, in milliseconds, 1,000 or more. Default 1 h. */
    intervalMs: z.int().min(1_000).max(MAX_DELAY_MS).default(3_600_000),
    /** Whether free pages are given back to the file system after pruning. Default true. */
    compact: z.boolean().default(true),
    /** From when on a member that keeps the others from forgetting is worth a warning, in milliseconds. Default 7 days. */
    warnAfterMs: z
      .int()
      .min(0)
      .default(7 * DAY_MS),
  })
  .superRefine(({ strategy, keepDays }, context) => {
    const needed = strategy === "acknowledged-and-older-than";
    if (needed === (keepDays !== undefined)) return;
    const message = needed
      ? 'the strategy "acknowledged-and-older-than" needs it'
      : 'it has no effect unless strategy is "acknowledged-and-older-than"';
    context.addIssue({ code: "custom", message, path: ["keepDays"] });
  });

/** What an operator writes. */
export type AckPruningSettings = z.input<typeof ackPruningSettings>;
/** The settings with all defaults filled in. */
export type ResolvedAckPruningSettings = z.output<typeof ackPruningSettings>;

declare module "@tidemark/plugin-api" {
  interface PluginSettings {
    readonly "ack-pruning": AckPruningSettings;
  }
}
