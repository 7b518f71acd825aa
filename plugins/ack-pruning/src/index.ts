import { API_VERSION, definePlugin, logMaintenance, syncFigures } from "@tidemark/plugin-api";
import { Blockers } from "./blockers.js";
import { ackPruningControl } from "./control.js";
import { ackPruningErrors } from "./errors.js";
import { Pruner } from "./pruner.js";
import { ackPruningSettings } from "./settings.js";
import { Upkeep } from "./upkeep.js";

export {
  type AckPruningControl,
  ackPruningControl,
  type BlockingMember,
  type PruneForecast,
  type PruneOutcome,
} from "./control.js";
export type { AckPruningSettings } from "./settings.js";

const DAY_MS = 24 * 3_600_000;

/**
 * Acknowledges what has become durable here, and forgets what every member has. Provides {@link ackPruningControl}.
 *
 * @example
 * import ackPruning from "@tidemark/plugin-ack-pruning";
 *
 * const settings = defineConfig({
 *   plugins: { "ack-pruning": { settings: { strategy: "acknowledged-and-older-than", keepDays: 7 } } },
 * });
 */
export const ackPruning = definePlugin({
  manifest: {
    id: "ack-pruning",
    version: "0.1.0",
    apiVersion: API_VERSION,
    provides: [ackPruningControl.id],
    configuration: ackPruningSettings,
  },
  activate({ config: settings, hooks, events, services, subscriptions, clock, logger, signal }) {
    const maintenance = services.get(logMaintenance);
    const { keepDays = 0 } = settings;
    if (keepDays * DAY_MS > maintenance.maxOfflineMs) {
      throw ackPruningErrors.keepsTooLong({ keepDays, maxOfflineMs: maintenance.maxOfflineMs });
    }
    const pruner = new Pruner({ maintenance, clock, settings, isStopped: () => signal.aborted });
    const { warnAfterMs } = settings;
    const blockers = new Blockers({ maintenance, figures: services.get(syncFigures), clock, logger, warnAfterMs });
    const upkeep = new Upkeep({ maintenance, pruner, blockers, clock, logger, settings });

    hooks.afterBatch.tap(({ vectorMoved }) => {
      if (vectorMoved) upkeep.received();
    });
    events.on("backfillCompleted", () => upkeep.received());
    // A round without records moves the vector too.
    events.on("roundCompleted", () => upkeep.received());
    events.on("vectorAcknowledged", () => upkeep.learnt());
    // The vector in a peer's introduction is one.
    events.on("peerConnected", () => upkeep.learnt());
    events.on("memberJoined", () => upkeep.received());
    events.on("memberRemoved", () => upkeep.received());
    events.on("removalSettled", () => upkeep.learnt());
    events.on("kernelStateChanged", ({ state }) => {
      if (state === "running") upkeep.start();
      else upkeep.stop();
    });
    subscriptions.push({ dispose: () => upkeep.stop() });

    services.provide(ackPruningControl, {
      dryRun: () => pruner.forecast(),
      pruneNow: () => pruner.prune(),
      lastResult: () => pruner.lastResult,
      blockedBy: () => blockers.current,
    });
  },
});

export default ackPruning;
