// Work that many occasions ask for and that is done once for all of them, a little later.

import type { Clock, Subscription } from "@tidemark/plugin-api";

/** Asked again while it waits, it waits no longer: occasions that never cease can't put it off. */
export class Soon {
  readonly #clock: Clock;
  readonly #delayMs: number;
  readonly #work: () => void;
  #timer: Subscription | null = null;

  constructor({
    clock,
    delayMs,
    work,
  }: { readonly clock: Clock; readonly delayMs: number; readonly work: () => void }) {
    this.#clock = clock;
    this.#delayMs = delayMs;
    this.#work = work;
  }

  ask(): void {
    this.#timer ??= this.#clock.setTimeout(() => {
      this.#timer = null;
      this.#work();
    }, this.#delayMs);
  }

  cancel(): void {
    this.#timer?.dispose();
    this.#timer = null;
  }
}
