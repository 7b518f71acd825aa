import { clockErrors } from "./errors.js";

/**
 * A hybrid logical clock (Kulkarni et al., 2014): wall time where it moves on, a counter where it does not. A time (HLC)
 * is one integer, `milliseconds since 2020-01-01 * 4096 + counter`, below 2^53 until 2089 and therefore exact both in
 * JavaScript and in an SQLite INTEGER. A full counter carries into the millisecond by plain arithmetic.
 *
 * The clock keeps nothing: whoever owns it stores the high-water mark in the transaction that used it. It judges no
 * drift either; times from too far ahead must not reach {@link HybridLogicalClock.receive}.
 */
export class HybridLogicalClock {
  readonly #now: () => number;
  #highWater: number;

  /**
   * @param options.now Wall time in milliseconds since the Unix epoch; may step backwards.
   * @param options.highWater The highest HLC given out or received so far; 0 for none.
   */
  constructor({ now, highWater }: { readonly now: () => number; readonly highWater: number }) {
    this.#now = now;
    this.#highWater = checked(highWater);
  }

  /** The highest HLC given out or received so far. */
  get highWater(): number {
    return this.#highWater;
  }

  /** The HLC of a change that happens now: above all before it. Throws `TIDEMARK_CLOCK_OUT_OF_RANGE` from 2089 on. */
  tick(): number {
    return this.tickAt(this.#now());
  }

  /** The HLC of a change that happened at `wallMs` (milliseconds since the Unix epoch): above all before it, too. */
  tickAt(wallMs: number): number {
    // A clock that can't tell the time is one that stands still: the counter alone keeps the order.
    const wall = Number.isNaN(wallMs) ? 0 : fromPhysicalMs(wallMs);
    const next = Math.max(this.#highWater + 1, wall);
    if (next > Number.MAX_SAFE_INTEGER) throw clockErrors.outOfRange({ wallMs });
    this.#highWater = next;
    return next;
  }

  /** Moves the clock past a time that came from outside. Throws `TIDEMARK_CLOCK_NOT_AN_HLC`. */
  receive(hlc: number): void {
    if (checked(hlc) > this.#highWater) this.#highWater = hlc;
  }
}

const EPOCH_MS = Date.UTC(2020, 0, 1);
const TICKS_PER_MS = 4096;

/** The wall time of an HLC, in milliseconds since the Unix epoch. */
export function physicalMs(hlc: number): number {
  return Math.floor(hlc / TICKS_PER_MS) + EPOCH_MS;
}

/** The first HLC of a millisecond since the Unix epoch; 0 for all times before 2020. */
export function fromPhysicalMs(ms: number): number {
  return Math.max(0, (Math.floor(ms) - EPOCH_MS) * TICKS_PER_MS);
}

function checked(hlc: number): number {
  if (!Number.isSafeInteger(hlc) || hlc < 0) throw clockErrors.notAnHlc({ hlc });
  return hlc;
}
