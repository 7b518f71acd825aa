import { type Clock, subscription } from "@tidemark/plugin-api";

/** The system's time and timers: part of the composition root, and the only place of the example that reads them. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout(callback, delayMs) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return subscription(() => clearTimeout(timer));
  },
  setImmediate(callback) {
    const immediate = setImmediate(callback);
    return subscription(() => clearImmediate(immediate));
  },
};
