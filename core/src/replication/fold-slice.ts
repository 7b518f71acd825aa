/**
 * Finds out how many outbox entries one write slice folds. Usually few, so that the slice is short. But nothing is merged,
 * read for sending or promised while the outbox holds something: an application that wrote more from slice to slice than is
 * folded would keep all of that out for ever. So the slices grow until they fold twice what comes in between; they then
 * hold the loop for about as long as the application itself does. It only counts.
 */

/** About a second. */
const LARGEST = 128_000;
const GROWTH = 2;

export class FoldSlice {
  readonly #usual: number;
  #entries: number;
  /** Entries that the last slice has left; null when it has left none. */
  #left: number | null = null;

  /** `usual`: entries of a slice while the application leaves it at that. */
  constructor(usual: number) {
    this.#usual = usual;
    this.#entries = usual;
  }

  /** Outbox entries in the next slice, at most. */
  get entries(): number {
    return this.#entries;
  }

  /** A slice is done, and has left so many entries. */
  record(left: number): void {
    if (left === 0) {
      // Not at once: the application may be busy still.
      this.#entries = Math.max(this.#usual, Math.floor(this.#entries / GROWTH));
      this.#left = null;
      return;
    }
    // What is left for the first time may be a single large statement, which is over by the next slice.
    const came = this.#left === null ? 0 : left - this.#left + this.#entries;
    if (came > this.#entries / 2) this.#entries = Math.min(LARGEST, this.#entries * GROWTH);
    this.#left = left;
  }
}
