import { API_VERSION, backfillScheduler, definePlugin } from "@tidemark/plugin-api";
import { ParallelRun } from "./parallel-run.js";
import { parallelBackfillSettings } from "./settings.js";

export type { ParallelBackfillSettings } from "./settings.js";

/**
 * Fetches the pages of a backfill side by side, ahead of those that are being applied, and from all peers that are up to
 * date. Takes the place of the kernel's own scheduler.
 *
 * @example
 * import parallelBackfill from "@tidemark/plugin-parallel-backfill";
 *
 * const tidemark = createTidemark({ dataSource, plugins: [parallelBackfill], settings });
 */
export const parallelBackfill = definePlugin({
  manifest: {
    id: "parallel-backfill",
    version: "0.1.0",
    apiVersion: API_VERSION,
    provides: [backfillScheduler.id],
    configuration: parallelBackfillSettings,
  },
  activate({ config: settings, services, clock, logger }) {
    services.provide(backfillScheduler, {
      run: (work) => new ParallelRun({ work, settings, clock, logger }).run(),
    });
  },
});

export default parallelBackfill;
