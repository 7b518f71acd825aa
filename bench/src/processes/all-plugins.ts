import { ackPruning } from "@tidemark/plugin-ack-pruning";
import type { AnyPlugin } from "@tidemark/plugin-api";
import { backoff } from "@tidemark/plugin-backoff";
import { fkBatching } from "@tidemark/plugin-fk-batching";
import { metrics } from "@tidemark/plugin-metrics";
import { parallelBackfill } from "@tidemark/plugin-parallel-backfill";
import { websocket } from "@tidemark/plugin-websocket";

/** Every plugin of the project, with its default settings: what is measured is what people run. */
export const allPlugins: readonly AnyPlugin[] = [websocket, fkBatching, backoff, ackPruning, metrics, parallelBackfill];
