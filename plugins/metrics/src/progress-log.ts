// How fast a backfill goes, and when it will be done; with a line in the log every so many records.

import type { Clock, KernelEvents, Logger } from "@tidemark/plugin-api";

/** Where the backfill from a peer stands. */
export interface BackfillProgress {
  readonly peer: string;
  readonly done: number;
  readonly total: number;
  /** Records per second since it began or went on; null while no time has passed. */
  readonly ratePerSecond: number | null;
  /** At this rate, in milliseconds; null while there is no rate. */
  readonly leftMs: number | null;
}

interface Run {
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
  readonly #runs = new Map<string, Run>();

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
    if (resumed) this.#runs.delete(peer);
    else this.#runs.set(peer, { sinceMs: this.#clock.monotonicMs(), before: 0, lines: 0 });
  }

  progressed({ peer, allDone, allTotal }: KernelEvents["backfillProgress"]): BackfillProgress {
    const now = this.#clock.monotonicMs();
    let run = this.#runs.get(peer);
    if (run === undefined) {
      run = { sinceMs: now, before: allDone, lines: this.#linesFor(allDone) };
      this.#runs.set(peer, run);
    }
    const elapsedMs = now - run.sinceMs;
    const ratePerSecond = elapsedMs > 0 ? ((allDone - run.before) * 1_000) / elapsedMs : null;
    const leftMs =
      ratePerSecond === null || ratePerSecond === 0 ? null : ((allTotal - allDone) * 1_000) / ratePerSecond;
    const progress = { peer, done: allDone, total: allTotal, ratePerSecond, leftMs };
    if (this.#linesFor(allDone) > run.lines) {
      run.lines = this.#linesFor(allDone);
      this.#logger.info("Backfill goes on", {
        peer,
        done: allDone,
        total: allTotal,
        ...(ratePerSecond !== null && { recordsPerSecond: Math.round(ratePerSecond) }),
        ...(leftMs !== null && { secondsLeft: Math.round(leftMs / 1_000) }),
      });
    }
    return progress;
  }

  completed({ peer }: KernelEvents["backfillCompleted"]): void {
    this.#runs.delete(peer);
  }

  #linesFor(records: number): number {
    return this.#everyRecords === 0 ? 0 : Math.floor(records / this.#everyRecords);
  }
}
