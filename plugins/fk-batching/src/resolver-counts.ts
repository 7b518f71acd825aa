// Counts what the plugin does, for `stats()` and for the meter. It decides nothing.

import type { Counter, Meter } from "@tidemark/plugin-api";
import type { ResolverStats } from "./reference-resolver.js";

/** What became of the references of one batch. */
export interface BatchResolution {
  readonly references: number;
  readonly missing: number;
  readonly lookupsSaved: number;
  readonly leftToKernel: number;
}

export class ResolverCounts {
  readonly #queryCounter: Counter;
  readonly #savedCounter: Counter;
  #queries = 0;
  #batches = 0;
  #references = 0;
  #missing = 0;
  #lookupsSaved = 0;
  #leftToKernel = 0;

  constructor(meter: Meter) {
    this.#queryCounter = meter.createCounter("tidemark.fk_batching.queries", {
      unit: "{query}",
      description: "Queries that looked up many references at once",
    });
    this.#savedCounter = meter.createCounter("tidemark.fk_batching.lookups_saved", {
      unit: "{lookup}",
      description: "Look-ups of single references that the kernel did not have to make",
    });
  }

  queried(): void {
    this.#queries += 1;
    this.#queryCounter.add(1);
  }

  resolved({ references, missing, lookupsSaved, leftToKernel }: BatchResolution): void {
    this.#batches += 1;
    this.#references += references;
    this.#missing += missing;
    this.#lookupsSaved += lookupsSaved;
    this.#leftToKernel += leftToKernel;
    if (lookupsSaved > 0) this.#savedCounter.add(lookupsSaved);
  }

  stats(): ResolverStats {
    return {
      batches: this.#batches,
      references: this.#references,
      missing: this.#missing,
      queries: this.#queries,
      lookupsSaved: this.#lookupsSaved,
      leftToKernel: this.#leftToKernel,
    };
  }
}
