// When to acknowledge and when to prune. Nothing that fails here reaches the batch or the event that was its occasion: it
// is logged, and done again at the next one.

import type { Clock, Logger, LogMaintenance, Subscription } from "@tidemark/plugin-api";
import type { Blockers } from "./blockers.js";
import type { Pruner } from "./pruner.js";
import type { ResolvedAckPruningSettings } from "./settings.js";
import { Soon } from "./soon.js";

export interface UpkeepDeps {
  readonly maintenance: LogMaintenance;
  readonly pruner: Pruner;
  readonly blockers: Blockers;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: ResolvedAckPruningSettings;
}

export class Upkeep {
  readonly #deps: UpkeepDeps;
  readonly #acknowledgement: Soon;
  readonly #pruning: Soon;
  #interval: Subscription | null = null;

  constructor(deps: UpkeepDeps) {
    const { clock, settings } = deps;
    this.#deps = deps;
    this.#acknowledgement = new Soon({
      clock,
      delayMs: settings.acknowledgeDelayMs,
      work: () => this.#try("acknowledge", () => deps.maintenance.acknowledge()),
    });
    this.#pruning = new Soon({
      clock,
      delayMs: settings.pruneDelayMs,
      work: () => this.#try("prune", () => deps.pruner.prune()),
    });
  }

  /** The kernel runs: catches up with what was left undone, and begins to count the interval. Twice does nothing. */
  start(): void {
    if (this.#interval !== null) return;
    this.#schedule();
    this.learnt();
  }

  /** Sets no more timers until the next `start`. */
  stop(): void {
    this.#interval?.dispose();
    this.#interval = null;
    this.#acknowledgement.cancel();
    this.#pruning.cancel();
  }

  /** There is more here than the peers have been told. */
  received(): void {
    if (this.#interval !== null) this.#acknowledgement.ask();
  }

  /**
   * Somebody has told what they have. With it this device's own vector may have risen, which they need to know before they
   * can forget; if it hasn't, the kernel sends nothing, and the exchange is over.
   */
  learnt(): void {
    if (this.#interval === null) return;
    this.#acknowledgement.ask();
    this.#pruning.ask();
  }

  #schedule(): void {
    const { clock, settings, maintenance, pruner, blockers } = this.#deps;
    this.#interval = clock.setTimeout(() => {
      this.#schedule();
      this.#try("acknowledge", () => maintenance.acknowledge());
      this.#try("prune", () => pruner.prune());
      this.#try("look who blocks", () => blockers.look());
    }, settings.intervalMs);
  }

  #try(action: string, work: () => Promise<unknown>): void {
    work().catch((error: unknown) => {
      // The kernel went away meanwhile; what was not done is done after the next start.
      if (this.#interval === null) return;
      this.#deps.logger.warn("Upkeep of the log has failed, and is repeated at the next occasion", { action, error });
    });
  }
}
