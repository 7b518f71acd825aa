import ackPruning from "@tidemark/plugin-ack-pruning";
import type { AnyPlugin } from "@tidemark/plugin-api";
import backoff from "@tidemark/plugin-backoff";
import fkBatching from "@tidemark/plugin-fk-batching";
import metrics from "@tidemark/plugin-metrics";
import parallelBackfill from "@tidemark/plugin-parallel-backfill";
import type { PluginName } from "./plugin-names.js";

/** What the names stand for. The settings only shorten delays: both devices are on one machine, and somebody watches. */
export interface DemoPlugin {
  readonly plugin: AnyPlugin;
  readonly settings?: Readonly<Record<string, unknown>>;
}

export const demoPlugins: Readonly<Record<PluginName, DemoPlugin>> = {
  "fk-batching": { plugin: fkBatching },
  "ack-pruning": { plugin: ackPruning, settings: { acknowledgeDelayMs: 200, pruneDelayMs: 400 } },
  backoff: { plugin: backoff, settings: { baseMs: 250, capMs: 4_000 } },
  metrics: { plugin: metrics, settings: { sampleMs: 1_000 } },
  "parallel-backfill": { plugin: parallelBackfill },
};
