import type { Clock } from "@tidemark/plugin-api";

/** Lets the event loop have its turn while much is read: who reads asks after each page. */
const SLICE_MS = 8;

export class ReadingSlices {
  readonly #clock: Clock;
  readonly #shouldYield: (() => boolean) | undefined;
  #startMs: number;

  constructor({
    clock,
    shouldYield,
  }: {
    readonly clock: Clock;
    /** Whether the loop should have its turn. Default: after 8 ms. */
    readonly shouldYield?: (() => boolean) | undefined;
  }) {
    this.#clock = clock;
    this.#shouldYield = shouldYield;
    this.#startMs = clock.monotonicMs();
  }

  async pause(): Promise<void> {
    const due = this.#shouldYield ? this.#shouldYield() : this.#clock.monotonicMs() - this.#startMs >= SLICE_MS;
    if (!due) return;
    await new Promise<void>((resolve) => this.#clock.setImmediate(resolve));
    this.#startMs = this.#clock.monotonicMs();
  }
}
