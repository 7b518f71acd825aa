// One direction between two addresses of the in-memory network: how long frames take, and which faults they meet. It
// knows no connections; they ask it.

import type { Random } from "@tidemark/plugin-api";

/** How long a frame takes, in milliseconds; with a range, every frame's time is drawn from it. */
export type Latency = number | { readonly minMs: number; readonly maxMs: number };

/**
 * - `open`: everything passes.
 * - `held`: nothing passes and nothing is lost, as when a cable is out and TCP keeps trying.
 * - `cut`: there is no connection, and none can be made.
 */
export type LinkState = "open" | "held" | "cut";

export class Link {
  state: LinkState = "open";
  latency: Latency = 0;
  /** How much of it passes in a second; a slow peer or a thin line. */
  bytesPerSecond = Number.POSITIVE_INFINITY;
  readonly #random: Random;
  /** Frames that still pass before the connection is lost. */
  #framesUntilLoss: number | undefined;
  /** One for each of the next frames: the bytes that are left of it. */
  readonly #truncations: number[] = [];

  constructor({ random }: { readonly random: Random }) {
    this.#random = random;
  }

  /** The time that the next frame takes, in milliseconds. */
  drawLatencyMs(): number {
    if (typeof this.latency === "number") return this.latency;
    const { minMs, maxMs } = this.latency;
    return minMs + this.#random.next() * (maxMs - minMs);
  }

  /** The time for which a frame of this size occupies the line, in milliseconds. */
  transmissionMs(sizeBytes: number): number {
    return (sizeBytes * 1_000) / this.bytesPerSecond;
  }

  loseAfter(frames: number): void {
    this.#framesUntilLoss = frames;
  }

  truncateNext(keepBytes: number): void {
    this.#truncations.push(keepBytes);
  }

  /** Takes back every fault that has not been met yet. */
  forgetFaults(): void {
    this.#framesUntilLoss = undefined;
    this.#truncations.length = 0;
  }

  /** What arrives of a frame; `undefined` when the connection is lost with it. */
  carry(frame: Uint8Array): Uint8Array | undefined {
    if (this.#framesUntilLoss === 0) {
      this.#framesUntilLoss = undefined;
      return undefined;
    }
    if (this.#framesUntilLoss !== undefined) this.#framesUntilLoss--;
    const keepBytes = this.#truncations.shift();
    return keepBytes === undefined ? frame : frame.subarray(0, keepBytes);
  }
}
