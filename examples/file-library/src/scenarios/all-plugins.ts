import { ackPruning } from "@tidemark/plugin-ack-pruning";
import type { AnyPlugin } from "@tidemark/plugin-api";
import { backoff } from "@tidemark/plugin-backoff";
import { fkBatching } from "@tidemark/plugin-fk-batching";
import { metrics } from "@tidemark/plugin-metrics";
import { parallelBackfill } from "@tidemark/plugin-parallel-backfill";

/** The remedies, each of which can be turned off by its id. */
export const remedies: readonly AnyPlugin[] = [fkBatching, ackPruning, backoff, metrics, parallelBackfill];

export const remedyIds: readonly string[] = remedies.map(({ manifest }) => manifest.id);
