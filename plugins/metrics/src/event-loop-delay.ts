// Measures by how much the event loop is late, which shows work that holds the process up. Node does the counting, by waking
// up fifty times a second, which is most of what a device at rest would do: so only while the kernel has something to do.

import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock, Subscription } from "@tidemark/plugin-api";

/** In seconds. Null where nothing was measured. */
export interface EventLoopDelay {
  readonly mean: number;
  readonly p99: number;
  readonly max: number;
}

/** Measures from the first sign of work until there has been none for a second. */
export interface EventLoopMonitor {
  /** There is work that may hold the loop up. Called for every piece of it. */
  busy(): void;
  /** Reading it begins a new measurement. */
  read(): EventLoopDelay | null;
  dispose(): void;
}

const RESOLUTION_MS = 20;
const REST_MS = 1_000;
const NANOSECONDS = 1e9;

/** `histogram` is Node's, but for tests. */
export function watchEventLoop(
  clock: Clock,
  histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS }),
): EventLoopMonitor {
  let rest: Subscription | null = null;
  let busy = false;
  // One timer a second while there is work, and not one for each piece of it.
  const look = () => {
    rest = null;
    if (busy) wait();
    else histogram.disable();
  };
  const wait = () => {
    busy = false;
    rest = clock.setTimeout(look, REST_MS);
  };
  // Node counts the interval itself as delay.
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / NANOSECONDS - RESOLUTION_MS / 1_000);
  return {
    busy() {
      busy = true;
      if (rest !== null) return;
      histogram.enable();
      wait();
    },
    read() {
      if (histogram.count === 0) return null;
      const { mean, max } = histogram;
      const delay = { mean: seconds(mean), p99: seconds(histogram.percentile(99)), max: seconds(max) };
      histogram.reset();
      return delay;
    },
    dispose() {
      rest?.dispose();
      histogram.disable();
    },
  };
}
