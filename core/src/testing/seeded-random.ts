// Randomness that repeats itself: the same seed, the same numbers. For tests and the simulator; never for secrets.

import type { Random } from "@tidemark/plugin-api";

/** mulberry32: one word of state, fast, and even enough to draw delays, orders and identifiers of a test. */
export class SeededRandom implements Random {
  /** Print it with a failure, so that the run can be repeated. */
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => Math.floor(this.next() * 256));
  }
}
