import { API_VERSION, definePlugin } from "@tidemark/plugin-api";
import { decide } from "./catch-up-decision.js";
import { backoffSettings } from "./settings.js";

export type { BackoffSettings } from "./settings.js";

/**
 * Decides about failed catch-ups, peer by peer: delays that grow up to a cap, a full backfill after some failures in a
 * row, and an end at once where no retry can help.
 *
 * @example
 * import backoff from "@tidemark/plugin-backoff";
 *
 * const settings = defineConfig({ plugins: { backoff: { settings: { baseMs: 5_000, capMs: 60_000 } } } });
 */
export const backoff = definePlugin({
  manifest: { id: "backoff", version: "0.1.0", apiVersion: API_VERSION, configuration: backoffSettings },
  activate({ config, hooks, random, logger }) {
    hooks.onCatchUpFailure.tap((failure) => {
      const decision = decide({ failure, settings: config, random });
      logger.info("Decided about a failed catch-up", {
        peer: failure.peer,
        code: failure.error.code,
        failures: failure.failures,
        ...decision,
      });
      return decision;
    });
  },
});

export default backoff;
