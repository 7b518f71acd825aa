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

/** The same, but a timer that is set keeps the process from ending: for whoever waits for nothing else. */
export const holdingClock: Clock = {
  ...systemClock,
  setTimeout(callback, delayMs) {
    const timer = setTimeout(callback, delayMs);
    return subscription(() => clearTimeout(timer));
  },
};
