import type { Clock } from "@tidemark/plugin-api";
import type { PeerRecord } from "./peer-store.js";

/**
 * How long peers that failed are still left alone. What was decided is stored as a wall time, so that a restart does not
 * begin anew; from then on it is measured by the monotonic clock, and it is never longer than what was decided: a wall
 * clock that is set back must not keep two devices apart for as long as it was wrong.
 */
export class RetryTimes {
  readonly #clock: Clock;
  /** By origin id: what was stored, and when that is by the monotonic clock. */
  readonly #known = new Map<string, { readonly notBefore: number; readonly dueMs: number }>();

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /** Milliseconds from now; 0 or less when the time has come. */
  leftMs(origin: string, { notBefore, delayMs }: Pick<PeerRecord, "notBefore" | "delayMs">): number {
    if (notBefore === 0) return 0;
    const now = this.#clock.monotonicMs();
    let known = this.#known.get(origin);
    if (known?.notBefore !== notBefore) {
      known = { notBefore, dueMs: now + Math.min(notBefore - this.#clock.now(), delayMs) };
      this.#known.set(origin, known);
    }
    return known.dueMs - now;
  }
}
