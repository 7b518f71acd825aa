// Prunes in small steps, one run at a time. What may be forgotten is the kernel's decision and the strategy's; when, is
// the caller's.

import type { Clock, LogMaintenance } from "@tidemark/plugin-api";
import type { PruneForecast, PruneOutcome } from "./control.js";
import { type Horizon, horizon } from "./horizon.js";
import type { ResolvedAckPruningSettings } from "./settings.js";

/** Slices in one call; between two calls a stop is noticed. */
const SLICES_AT_ONCE = 8;

export class Pruner {
  readonly #maintenance: LogMaintenance;
  readonly #clock: Clock;
  readonly #settings: ResolvedAckPruningSettings;
  readonly #isStopped: () => boolean;
  /** Settles with the run that was begun last. */
  #last: Promise<unknown> = Promise.resolve();
  /** The run that waits for that one. */
  #next: Promise<PruneOutcome> | null = null;
  #result: PruneOutcome | null = null;

  constructor({
    maintenance,
    clock,
    settings,
    isStopped,
  }: {
    readonly maintenance: LogMaintenance;
    readonly clock: Clock;
    readonly settings: ResolvedAckPruningSettings;
    readonly isStopped: () => boolean;
  }) {
    this.#maintenance = maintenance;
    this.#clock = clock;
    this.#settings = settings;
    this.#isStopped = isStopped;
  }

  get lastResult(): PruneOutcome | null {
    return this.#result;
  }

  /** A run that begins from now on; behind one that is under way, a single run serves all who ask. */
  prune(): Promise<PruneOutcome> {
    this.#next ??= this.#last.then(() => {
      const run = this.#run();
      this.#next = null;
      this.#last = run.catch(() => {});
      return run;
    });
    return this.#next;
  }

  async forecast(): Promise<PruneForecast> {
    const limit = horizon(this.#settings, this.#clock.now());
    const { stamps, hiddenRecords, point } = await this.#maintenance.dryRun(optionsFor(limit));
    const { logEntries } = await this.#maintenance.size();
    return {
      stamps,
      staysInLog: Math.max(0, logEntries - stamps),
      hiddenRecords,
      upToMs: Math.min(point.atMs, limit?.upToMs ?? point.atMs),
      heldBackBy: point.heldBackBy,
    };
  }

  async #run(): Promise<PruneOutcome> {
    const startedMs = this.#clock.monotonicMs();
    const options = { ...optionsFor(horizon(this.#settings, this.#clock.now())), maxSlices: SLICES_AT_ONCE };
    let stamps = 0;
    let hiddenRecords = 0;
    let step: Awaited<ReturnType<LogMaintenance["prune"]>>;
    do {
      step = await this.#maintenance.prune(options);
      stamps += step.stamps;
      hiddenRecords += step.hiddenRecords;
    } while (step.more && !this.#isStopped());
    const compacts = this.#settings.compact && stamps + hiddenRecords > 0 && !this.#isStopped();
    const outcome: PruneOutcome = {
      stamps,
      hiddenRecords,
      pagesGivenBack: compacts ? await this.#maintenance.compact() : 0,
      heldBackBy: step.point.heldBackBy,
      atMs: this.#clock.now(),
      durationMs: this.#clock.monotonicMs() - startedMs,
    };
    this.#result = outcome;
    return outcome;
  }
}

function optionsFor(limit: Horizon | null): { readonly upToHlc?: number } {
  return limit === null ? {} : { upToHlc: limit.upToHlc };
}
