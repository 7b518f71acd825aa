// Says in the log that somebody waits for a connection, and for whom. Seldom, because whoever waits seldom waits alone.

import type { Clock, KernelEvents, Logger, Subscription } from "@tidemark/plugin-api";
import type { ResolvedMetricsSettings } from "./settings.js";

export class WaitWarning {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #settings: ResolvedMetricsSettings["waitWarning"];
  #pool: KernelEvents["poolChanged"] | undefined;
  #holders: readonly string[] = [];
  #waitingSinceMs: number | null = null;
  #timer: Subscription | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;
  #unsaid = 0;

  constructor({
    clock,
    logger,
    settings,
  }: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly settings: ResolvedMetricsSettings["waitWarning"];
  }) {
    this.#clock = clock;
    this.#logger = logger;
    this.#settings = settings;
  }

  /** For how long somebody has waited without a break, in milliseconds; 0: nobody waits. */
  get waitingMs(): number {
    return this.#waitingSinceMs === null ? 0 : this.#clock.monotonicMs() - this.#waitingSinceMs;
  }

  poolChanged(pool: KernelEvents["poolChanged"]): void {
    this.#pool = pool;
    if (pool.waiting === 0) {
      this.#waitingSinceMs = null;
      this.#timer?.dispose();
      this.#timer = undefined;
      return;
    }
    if (this.#waitingSinceMs !== null) return;
    this.#waitingSinceMs = this.#clock.monotonicMs();
    this.#timer = this.#clock.setTimeout(() => this.#warn(), this.#settings.afterMs);
  }

  poolPressure({ holders }: KernelEvents["poolPressure"]): void {
    this.#holders = holders;
  }

  #warn(): void {
    this.#timer = this.#clock.setTimeout(() => this.#warn(), this.#settings.everyMs);
    const now = this.#clock.monotonicMs();
    if (now - this.#lastMs < this.#settings.everyMs) {
      this.#unsaid++;
      return;
    }
    this.#logger.warn("Somebody waits for a connection", {
      waitingMs: Math.round(this.waitingMs),
      ...this.#pool,
      holders: this.#holders,
      unsaidWarnings: this.#unsaid,
      advice: "See who holds the connections; raise pool.size or TIDEMARK_DB_POOL_SIZE if they all have work to do",
    });
    this.#lastMs = now;
    this.#unsaid = 0;
  }
}
