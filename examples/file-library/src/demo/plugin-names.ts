/** The plugins that the demo runs with, beside the transport, in the order in which it tells of them. */
export const PLUGIN_NAMES = ["fk-batching", "ack-pruning", "backoff", "metrics", "parallel-backfill"] as const;

export type PluginName = (typeof PLUGIN_NAMES)[number];
