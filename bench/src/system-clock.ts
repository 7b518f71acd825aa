import { type Clock, subscription } from "@tidemark/plugin-api";

/** The system's time and timers: the only place of the benchmark that reads them. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout(callback, delayMs) {
    const timer = setTimeout(callback, delayMs);
    return subscription(() => clearTimeout(timer));
  },
  setImmediate(callback) {
    const immediate = setImmediate(callback);
    return subscription(() => clearImmediate(immediate));
  },
};

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => void systemClock.setTimeout(resolve, delayMs));
}

/** Resolves in the next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void systemClock.setImmediate(resolve));
}

/** Monotonic milliseconds that mean the same in all processes of this machine. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
