import type { Tidemark } from "@tidemark/core";
import type { Clock } from "@tidemark/plugin-api";
import { type ReferenceResolver, referenceResolver } from "@tidemark/plugin-fk-batching";
import { type MetricsReader, type MetricsSnapshot, metricsReader } from "@tidemark/plugin-metrics";
import {
  addFigures,
  type DeviceFigures,
  type HealthFigures,
  NO_FIGURES,
  type PoolFigures,
  worseOf,
} from "./figures.js";

/**
 * Counts what Tidemark does, from its events and the services of its plugins. A device that goes offline and comes back
 * has several Tidemarks, one after the other; their figures are added up.
 */
export class FigureCounter {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #earlier = NO_FIGURES;
  #present: Stretch | null = null;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Counts `tidemark`, which has not been started yet. */
  begin(tidemark: Tidemark): void {
    this.end();
    this.#present = new Stretch(tidemark, this.#clock);
  }

  /** The Tidemark that was counted has stopped. */
  end(): void {
    this.#earlier = this.read();
    this.#present = null;
  }

  /** Sizes that somebody has looked at; of these the largest counts. */
  sized(size: { readonly logEntries: number; readonly syncTableBytes: number }): void {
    this.#present?.sized(size);
  }

  read(): DeviceFigures {
    return this.#present === null ? this.#earlier : addFigures(this.#earlier, this.#present.read());
  }
}

/** The figures of one Tidemark. */
class Stretch {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #resolver: ReferenceResolver | undefined;
  #metrics: MetricsReader | undefined;
  #received = 0;
  #lookups = 0;
  #largestEntries = 0;
  #largestBytes = 0;
  #prunedEntries = 0;
  #erasedRecords = 0;
  #failed = 0;
  #decidedByBackoff = 0;
  #decidedByKernel = 0;
  #fullBackfills = 0;
  #givenUp = 0;
  #longestDelayMs = 0;
  #pages = 0;
  #backfilled = 0;
  /** The time of all backfills up to the last tick of the present one: its start, a page, its end. */
  #backfillMs = 0;
  #backfillTickMs = 0;
  #health: HealthFigures | null = null;

  constructor({ events, services }: Tidemark, clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
    events.on("kernelStateChanged", ({ state }) => {
      if (state !== "running") return;
      // Kept, because they can be read when the kernel has stopped and offers them no longer.
      this.#resolver = services.find(referenceResolver);
      this.#metrics = services.find(metricsReader);
    });
    events.on("batchApplied", ({ counts, referenceLookups, phase }) => {
      this.#received += counts.applied;
      this.#lookups += referenceLookups;
      if (phase !== "backfill") return;
      this.#pages++;
      this.#backfilled += Object.values(counts).reduce((sum, count) => sum + count, 0);
      this.#tick();
    });
    events.on("backfillStarted", () => {
      this.#backfillTickMs = clock.monotonicMs();
    });
    events.on("backfillCompleted", () => this.#tick());
    events.on("logPruned", ({ stamps, hiddenRecords }) => {
      this.#prunedEntries += stamps;
      this.#erasedRecords += hiddenRecords;
    });
    events.on("catchUpFailed", () => {
      this.#failed++;
    });
    events.on("catchUpDecided", ({ decision, decidedBy }) => {
      if (decidedBy === "backoff") this.#decidedByBackoff++;
      else if (decidedBy === "kernel") this.#decidedByKernel++;
      if (decision.action === "give-up") this.#givenUp++;
      else this.#longestDelayMs = Math.max(this.#longestDelayMs, decision.delayMs);
      if (decision.action === "full-backfill") this.#fullBackfills++;
    });
  }

  #tick(): void {
    const now = this.#clock.monotonicMs();
    this.#backfillMs += now - this.#backfillTickMs;
    this.#backfillTickMs = now;
  }

  sized({ logEntries, syncTableBytes }: { readonly logEntries: number; readonly syncTableBytes: number }): void {
    this.#largestEntries = Math.max(this.#largestEntries, logEntries);
    this.#largestBytes = Math.max(this.#largestBytes, syncTableBytes);
  }

  read(): DeviceFigures {
    const resolved = this.#resolver?.stats();
    return {
      received: this.#received,
      references: {
        lookups: this.#lookups,
        spared: resolved?.lookupsSaved ?? 0,
        queries: resolved?.queries ?? 0,
      },
      log: {
        largestEntries: this.#largestEntries,
        largestBytes: this.#largestBytes,
        prunedEntries: this.#prunedEntries,
        erasedRecords: this.#erasedRecords,
      },
      catchUps: {
        failed: this.#failed,
        decidedByBackoff: this.#decidedByBackoff,
        decidedByKernel: this.#decidedByKernel,
        fullBackfills: this.#fullBackfills,
        givenUp: this.#givenUp,
        longestDelayMs: this.#longestDelayMs,
      },
      backfill: { pages: this.#pages, records: this.#backfilled, durationMs: this.#backfillMs },
      pool: this.#metrics === undefined ? null : poolOf(this.#metrics.snapshot()),
      health: this.#metrics === undefined ? null : this.#judge(this.#metrics),
    };
  }

  #judge(metrics: MetricsReader): HealthFigures {
    const { status, reasons } = metrics.health();
    const worst = metrics.history().reduce((worst, { health }) => worseOf(worst, health), status);
    const before = this.#health;
    this.#health = {
      now: status,
      worst: worseOf(before?.worst ?? "ok", worst),
      reason: reasons[0]?.text ?? before?.reason ?? "",
    };
    return this.#health;
  }
}

function poolOf({ metrics }: MetricsSnapshot): PoolFigures {
  const series = (name: string) => metrics.find((metric) => metric.name === name)?.series ?? [];
  const sum = (name: string) => series(name).reduce((sum, one) => sum + ("value" in one ? one.value : 0), 0);
  const waits = series("db.client.connection.wait_time").map((one) => ("max" in one ? one.max : 0));
  return {
    limit: sum("db.client.connection.max"),
    peak: sum("tidemark.pool.peak"),
    longestWaitMs: 1_000 * Math.max(0, ...waits),
    timeouts: sum("db.client.connection.timeouts"),
  };
}
