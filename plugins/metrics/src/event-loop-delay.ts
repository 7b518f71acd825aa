// Measures by how much the event loop is late, which shows work that holds the process up. Node does the counting.

import { monitorEventLoopDelay } from "node:perf_hooks";

/** In seconds. Null where nothing was measured. */
export interface EventLoopDelay {
  readonly mean: number;
  readonly p99: number;
  readonly max: number;
}

/** Reading it begins a new measurement. */
export interface EventLoopMonitor {
  read(): EventLoopDelay | null;
  dispose(): void;
}

const RESOLUTION_MS = 20;
const NANOSECONDS = 1e9;

export function watchEventLoop(): EventLoopMonitor {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  // Node counts the interval itself as delay.
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / NANOSECONDS - RESOLUTION_MS / 1_000);
  return {
    read() {
      if (histogram.count === 0) return null;
      const { mean, max } = histogram;
      const delay = { mean: seconds(mean), p99: seconds(histogram.percentile(99)), max: seconds(max) };
      histogram.reset();
      return delay;
    },
    dispose() {
      histogram.disable();
    },
  };
}
