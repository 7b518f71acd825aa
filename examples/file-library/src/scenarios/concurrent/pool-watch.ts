import type { Events } from "@tidemark/plugin-api";

/** What the connection pool of a device has gone through, from the kernel's events. Listens from before the start. */
export interface PoolFigures {
  readonly limit: number;
  /** Most connections that were lent at once. */
  readonly mostLent: number;
  /** Most requests that waited at once. */
  readonly mostWaiting: number;
  readonly timeOuts: number;
  readonly readerLeases: number;
  readonly longestReaderWaitMs: number;
  /** Write slices of the kernel. */
  readonly writeSlices: number;
  /** From the moment a slice was asked for to its beginning: turns of others, and the application's transactions. */
  readonly longestWriterWaitMs: number;
  readonly longestWriteSliceMs: number;
  /** What it was for. */
  readonly longestWriteSlice: string;
}

export function watchPool(events: Events): () => PoolFigures {
  const figures = {
    limit: 0,
    mostLent: 0,
    mostWaiting: 0,
    timeOuts: 0,
    readerLeases: 0,
    longestReaderWaitMs: 0,
    writeSlices: 0,
    longestWriterWaitMs: 0,
    longestWriteSliceMs: 0,
    longestWriteSlice: "",
  };
  events.on("poolChanged", ({ active, waiting, limit }) => {
    figures.limit = limit;
    figures.mostLent = Math.max(figures.mostLent, active);
    figures.mostWaiting = Math.max(figures.mostWaiting, waiting);
  });
  events.on("leaseTimedOut", () => {
    figures.timeOuts += 1;
  });
  events.on("leaseAcquired", ({ kind, waitMs }) => {
    if (kind === "reader") {
      figures.readerLeases += 1;
      figures.longestReaderWaitMs = Math.max(figures.longestReaderWaitMs, waitMs);
    } else {
      figures.writeSlices += 1;
      figures.longestWriterWaitMs = Math.max(figures.longestWriterWaitMs, waitMs);
    }
  });
  events.on("leaseReleased", ({ kind, holder, useMs }) => {
    if (kind === "reader" || useMs <= figures.longestWriteSliceMs) return;
    figures.longestWriteSliceMs = useMs;
    figures.longestWriteSlice = holder;
  });
  return () => ({ ...figures });
}
