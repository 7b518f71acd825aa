// The formula: how long to wait after the n-th failure in a row. Exponential backoff with a cap and a little chance, so
// that devices that failed together do not come back together. Pure; it keeps no state and reads no clock.

/** No delay is shorter, whatever chance says: a retry without a pause would be a hot loop. In milliseconds. */
export const MIN_DELAY_MS = 100;

export interface BackoffFormula {
  /** The delay after the first failure, in milliseconds. */
  readonly baseMs: number;
  /** What each delay is multiplied by to get the next. */
  readonly factor: number;
  /** The longest delay before jitter, in milliseconds. */
  readonly capMs: number;
  /** The share of a delay by which chance may lengthen or shorten it, 0–1. */
  readonly jitter: number;
}

/** The delay after `failures` failures in a row, 1 or more, before jitter; in milliseconds. */
export function plainDelayMs({ baseMs, factor, capMs }: BackoffFormula, failures: number): number {
  // The power may be Infinity after very many failures; the cap takes care of that too.
  return Math.min(capMs, baseMs * factor ** (failures - 1));
}

/** The same with jitter: `chance`, a number in [0, 1), picks a point between the shortest and the longest delay. */
export function backoffDelayMs(formula: BackoffFormula, failures: number, chance: number): number {
  const jittered = plainDelayMs(formula, failures) * (1 + formula.jitter * (2 * chance - 1));
  return Math.max(MIN_DELAY_MS, Math.round(jittered));
}
