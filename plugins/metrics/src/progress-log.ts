// How fast a backfill goes, and when it will be done; with a line in the log every so many records.

import type { Clock, KernelEvents, Logger } from "@tidemark/plugin-api";

/** Where the backfill stands. There is one at a time, whose pages may come from several peers. */
export interface BackfillProgress {
  readonly done: number;
  readonly total: number;
  /** Records per second since it began or went on; null while no time has passed. */
  readonly ratePerSecond: number | null;
  /** At this rate, in milliseconds; null while there is no rate. */
  readonly leftMs: number | null;
}

interface Run {
  /** With which it was begun. */
  readonly peer: string;
  readonly sinceMs: number;
  /** Records that were here when this run began. */
  readonly before: number;
  /** Of the log. */
  lines: number;
}

export class ProgressLog {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #everyRecords: number;
  #run: Run | null = null;

  constructor({
    clock,
    logger,
    everyRecords,
  }: { readonly clock: Clock; readonly logger: Logger; readonly everyRecords: number }) {
    this.#clock = clock;
    this.#logger = logger;
    this.#everyRecords = everyRecords;
  }

  started({ peer, resumed }: KernelEvents["backfillStarted"]): void {
    // What a resumed one has brought before is only known from the first word of progress: its rate counts from there.
    this.#run = resumed ? null : { peer, sinceMs: this.#clock.monotonicMs(), before: 0, lines: 0 };
  }

  progressed({ peer, allDone, allTotal }: KernelEvents["backfillProgress"]): BackfillProgress {
    const now = this.#clock.monotonicMs();
    this.#run ??= { peer, sinceMs: now, before: allDone, lines: this.#linesFor(allDone) };
    const run = this.#run;
    const elapsedMs = now - run.sinceMs;
    const ratePerSecond = elapsedMs > 0 ? ((allDone - run.before) * 1_000) / elapsedMs : null;
    const leftMs =
      ratePerSecond === null || ratePerSecond === 0 ? null : ((allTotal - allDone) * 1_000) / ratePerSecond;
    const progress = { done: allDone, total: allTotal, ratePerSecond, leftMs };
    if (this.#linesFor(allDone) > run.lines) {
      run.lines = this.#linesFor(allDone);
      this.#logger.info("Backfill goes on", {
        peer: run.peer,
        done: allDone,
        total: allTotal,
        ...(ratePerSecond !== null && { recordsPerSecond: Math.round(ratePerSecond) }),
        ...(leftMs !== null && { secondsLeft: Math.round(leftMs / 1_000) }),
      });
    }
    return progress;
  }

  completed(): void {
    this.#run = null;
  }

  #linesFor(records: number): number {
    return this.#everyRecords === 0 ? 0 : Math.floor(records / this.#everyRecords);
  }
}
