// Time that a test moves by hand. Timers fire only within `advance`; immediates run in real turns of the event loop,
// because they take no time and code that awaits them must not hang. Never for product code.

import type { Clock, Subscription } from "@tidemark/plugin-api";
import { subscription } from "@tidemark/plugin-api";

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** More turns than this without coming to rest is a loop that feeds itself. */
const MAX_TURNS = 1_000_000;

/**
 * A clock that stands still until {@link ManualClock.advance} is called.
 *
 * @example
 * const clock = new ManualClock();
 * clock.setTimeout(() => console.log("later"), 1_000);
 * await clock.advance(1_000);
 */
export class ManualClock implements Clock {
  #wallMs: number;
  #elapsedMs = 0;
  /** In the order in which they were set, which decides between timers that are due at the same time. */
  readonly #timers = new Set<Timer>();
  #immediates = 0;

  constructor({ nowMs = Date.UTC(2026, 0, 1) }: { readonly nowMs?: number } = {}) {
    this.#wallMs = nowMs;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  setTimeout(callback: () => void, delayMs: number): Subscription {
    const timer: Timer = { dueMs: this.#elapsedMs + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return subscription(() => this.#timers.delete(timer));
  }

  setImmediate(callback: () => void): Subscription {
    this.#immediates++;
    const pending = subscription(() => {
      this.#immediates--;
      clearImmediate(handle);
    });
    const handle = setImmediate(() => {
      pending.dispose();
      callback();
    });
    return pending;
  }

  /** Timers that are set and have not fired. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Sets the wall clock, forwards or backwards, as a person or NTP would. Timers don't notice. */
  setWallClock(nowMs: number): void {
    this.#wallMs = nowMs;
  }

  /**
   * Moves time by `ms` milliseconds and fires the timers that fall due, each at its own time and in order. Between two
   * timers, and at the end, immediates and promises run until nothing more is queued.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms;
    await this.settle();
    for (let timer = this.#nextTimer(endMs); timer !== undefined; timer = this.#nextTimer(endMs)) {
      this.#timers.delete(timer);
      this.#moveTo(Math.max(timer.dueMs, this.#elapsedMs));
      timer.callback();
      await this.settle();
    }
    this.#moveTo(Math.max(endMs, this.#elapsedMs));
  }

  /** Lets immediates and promises run until nothing more is queued. Time stands still. Input and output may be pending. */
  async settle(): Promise<void> {
    let turns = 0;
    do {
      if (++turns > MAX_TURNS) throw new Error(`the event loop did not come to rest within ${MAX_TURNS} turns`);
      await new Promise<void>((resolve) => setImmediate(resolve));
    } while (this.#immediates > 0);
  }

  #nextTimer(endMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= endMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }

  #moveTo(elapsedMs: number): void {
    this.#wallMs += elapsedMs - this.#elapsedMs;
    this.#elapsedMs = elapsedMs;
  }
}
