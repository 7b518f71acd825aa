import type { Subscription } from "./disposable.js";

/**
 * Time and timers. All of Tidemark takes its time from here, so that a test or the simulator can move it by hand.
 * Timers never keep a process alive by themselves.
 */
export interface Clock {
  /** Wall time in milliseconds since the Unix epoch. May step backwards, as wall clocks do. */
  now(): number;
  /** Milliseconds since an arbitrary point; never steps backwards. For durations. */
  monotonicMs(): number;
  /** Runs `callback` once, `delayMs` milliseconds from now, unless disposed of before. */
  setTimeout(callback: () => void, delayMs: number): Subscription;
  /** Runs `callback` in a later turn of the event loop, after input has had its chance. */
  setImmediate(callback: () => void): Subscription;
}

/** A source of randomness. Injected, so that a run can be repeated from its seed. */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** `length` random bytes; fit for identifiers and nonces when the source is the production one. */
  bytes(length: number): Uint8Array;
}
