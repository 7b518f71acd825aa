// Keeps the latest samples, in a ring of fixed size.

/** What is kept of each sample. Counters are as since the start, so that any two samples can be compared. */
export interface HistorySample {
  /** In milliseconds since the epoch. */
  readonly atMs: number;
  readonly health: "ok" | "degraded" | "failing";
  readonly pool: { readonly active: number; readonly waiting: number; readonly limit: number };
  readonly recordsApplied: number;
  readonly recordsReceived: number;
  readonly rounds: number;
  readonly failures: number;
  readonly escalations: number;
  /** Log entries that peers are not known to have, added up over the peers. */
  readonly pending: number;
  /** The largest lag of a connected peer, in milliseconds. */
  readonly lagMs: number;
  /** Records outside of their tables. */
  readonly parked: number;
  readonly logEntries: number;
  readonly logBytes: number;
}

export class Ring<Item> {
  readonly #items: Item[] = [];
  readonly #capacity: number;
  #next = 0;

  constructor({ capacity }: { readonly capacity: number }) {
    this.#capacity = capacity;
  }

  push(item: Item): void {
    this.#items[this.#next] = item;
    this.#next = (this.#next + 1) % this.#capacity;
  }

  /** The oldest item, once older ones have been dropped; undefined while all since the beginning are here. */
  get horizon(): Item | undefined {
    return this.#items.length < this.#capacity ? undefined : this.#items[this.#next];
  }

  /** Oldest first. */
  toArray(): readonly Item[] {
    if (this.#items.length < this.#capacity) return [...this.#items];
    return [...this.#items.slice(this.#next), ...this.#items.slice(0, this.#next)];
  }
}
