import { API_VERSION, definePlugin, recordKeys } from "@tidemark/plugin-api";
import { ChunkedResolver, referenceResolver } from "./reference-resolver.js";
import { resolveBatch } from "./resolve-batch.js";
import { ResolverCounts } from "./resolver-counts.js";
import { fkBatchingSettings } from "./settings.js";

export {
  type LocalKeyOutcome,
  type ReferenceResolver,
  type ResolverStats,
  referenceResolver,
} from "./reference-resolver.js";
export type { FkBatchingSettings } from "./settings.js";

/** What the kernel adds to the plugin's own limit before it takes the handler for lost, in milliseconds. */
const GRACE_MS = 10_000;

/**
 * Resolves all references of a received batch with one query per model that is referred to, instead of one look-up per
 * reference. Provides {@link referenceResolver}.
 *
 * @example
 * import fkBatching from "@tidemark/plugin-fk-batching";
 *
 * const tidemark = createTidemark({ dataSource, plugins: [fkBatching], settings });
 */
export const fkBatching = definePlugin({
  manifest: {
    id: "fk-batching",
    version: "0.1.0",
    apiVersion: API_VERSION,
    provides: [referenceResolver.id],
    configuration: fkBatchingSettings,
  },
  activate({ config, hooks, services, clock, logger, meter }) {
    const counts = new ResolverCounts(meter);
    const { chunkRecords, maxWaitMs } = config;
    const resolver = new ChunkedResolver({ recordKeys: services.get(recordKeys), chunkRecords, counts });
    services.provide(referenceResolver, resolver);
    // Last, so that nothing is looked up for operations that another plugin defers or rejects.
    hooks.beforeApplyBatch.tap(
      async (batch) => await resolveBatch(batch, { resolver, counts, clock, logger, maxWaitMs }),
      { order: "post", timeoutMs: maxWaitMs + GRACE_MS },
    );
  },
});

export default fkBatching;
