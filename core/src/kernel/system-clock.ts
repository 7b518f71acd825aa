// The real time and the real timers. The only file of the product that touches them; everybody else is given a Clock.

import type { Clock, Subscription } from "@tidemark/plugin-api";
import { subscription } from "@tidemark/plugin-api";

/** Node fires a timer with a longer delay at once. */
const LONGEST_DELAY_MS = 2_147_483_647;

/** The system's clock. Its timers don't keep the process alive. */
export const systemClock: Clock = Object.freeze({
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout(callback: () => void, delayMs: number): Subscription {
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      const stepMs = Math.min(leftMs, LONGEST_DELAY_MS);
      timer = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : callback()), stepMs);
      timer.unref();
    };
    arm(Math.max(0, delayMs));
    return subscription(() => clearTimeout(timer));
  },
  setImmediate(callback: () => void): Subscription {
    // Not unref'd: the loop would sleep before running it, and it keeps the process alive for no more than a turn.
    const immediate = setImmediate(callback);
    return subscription(() => clearImmediate(immediate));
  },
});
