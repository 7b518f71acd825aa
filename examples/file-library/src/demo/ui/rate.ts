import type { Clock } from "@tidemark/plugin-api";

/** How fast something goes, over the last few seconds: steady enough to read, quick enough to show a stall. */
export class Rate {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #windowMs: number;
  #samples: { readonly atMs: number; readonly done: number }[] = [];

  constructor({ clock, windowMs = 3_000 }: { readonly clock: Pick<Clock, "monotonicMs">; readonly windowMs?: number }) {
    this.#clock = clock;
    this.#windowMs = windowMs;
  }

  /** Takes what has been done so far, and returns how much that is a second; 0 until there is something to compare. */
  at(done: number): number {
    const atMs = this.#clock.monotonicMs();
    const last = this.#samples[this.#samples.length - 1];
    // A process that was killed begins anew with less.
    if (last && done < last.done) this.#samples = [];
    this.#samples.push({ atMs, done });
    while (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - this.#windowMs) this.#samples.shift();
    const first = this.#samples[0]!;
    return atMs > first.atMs ? ((done - first.done) * 1_000) / (atMs - first.atMs) : 0;
  }
}
