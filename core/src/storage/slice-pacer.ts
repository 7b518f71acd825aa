/**
 * Finds out how many records fit into one write slice, so that a slice holds the loop for about a target time, and for half of
 * it while an application waits for the loop too. It only counts; who makes the slices asks for `size` before each and tells afterwards how long it took.
 */
export interface SlicePacerOptions {
  /** How long a slice should take. Default 5. */
  readonly targetMs?: number;
  /** Records in the first slice. Default 200. */
  readonly initial?: number;
  /** Whether the application uses its database at this time; then a slice takes half the time. Default never. */
  readonly shares?: () => boolean;
}

const SMALLEST = 50;
const LARGEST = 10_000;
/** Growth is slow, because a slice that is too long hurts; so is shrinking, because one checkpoint says little. */
const LARGEST_GROWTH = 2;
const LARGEST_SHRINKAGE = 4;

export class SlicePacer {
  readonly #targetMs: number;
  readonly #shares: () => boolean;
  #size: number;
  #maxRecords = Number.POSITIVE_INFINITY;
  #maxPages = Number.POSITIVE_INFINITY;

  constructor({ targetMs = 5, initial = 200, shares = () => false }: SlicePacerOptions = {}) {
    this.#targetMs = targetMs;
    this.#shares = shares;
    this.#size = clamp(initial, SMALLEST, LARGEST);
  }

  /** Records in the next slice, at most. */
  get size(): number {
    return Math.min(this.#size, this.#maxRecords);
  }

  /** Pages that may be in work at once: 1 while one is to be applied before the next is asked for. */
  get pagesAtOnce(): number {
    return this.#maxPages;
  }

  /** A slice is done. `durationMs` is the time it held the loop, without what it waited before. */
  record({ records, durationMs }: { readonly records: number; readonly durationMs: number }): void {
    if (records <= 0) return;
    const targetMs = this.#shares() ? this.#targetMs / 2 : this.#targetMs;
    const fitting = (records * targetMs) / Math.max(durationMs, 0.01);
    // A slice that was smaller than it might have been shows that it was too large, never that more would fit.
    if (records < this.#size && durationMs <= targetMs) return;
    const next = clamp(fitting, this.#size / LARGEST_SHRINKAGE, this.#size * LARGEST_GROWTH);
    this.#size = Math.round(clamp(next, SMALLEST, LARGEST));
  }

  /** Obeys advice from `onPoolPressure`; what is absent is lifted, and what was before holds again. */
  advise({
    maxRecords = Number.POSITIVE_INFINITY,
    maxPages = Number.POSITIVE_INFINITY,
  }: {
    readonly maxRecords?: number | undefined;
    readonly maxPages?: number | undefined;
  }): void {
    this.#maxRecords = Math.max(1, Math.floor(maxRecords));
    this.#maxPages = Math.max(1, Math.floor(maxPages));
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
