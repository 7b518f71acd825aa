// Carries frames of one connection in one direction: in order, through a window of bytes, each at its own time. What
// does not fit the window waits at the sender, which is what a full socket buffer looks like from above.

import type { Clock, CloseOutcome, CloseReason, Subscription } from "@tidemark/plugin-api";
import type { Link } from "./in-memory-link.js";

export type Parcel =
  | { readonly kind: "frame"; readonly frame: Uint8Array }
  /** The end, behind all frames: what the other side is told, and when the dialler may try again. */
  | { readonly kind: "close"; readonly reason: CloseReason; readonly redial: CloseOutcome["redial"] | undefined };

export class Pipe {
  readonly #clock: Clock;
  readonly #link: Link;
  readonly #windowBytes: number;
  readonly #deliver: (parcel: Parcel) => void;
  readonly #onDrain: () => void;
  readonly #waiting: Parcel[] = [];
  readonly #inFlight: { readonly parcel: Parcel; readonly dueMs: number }[] = [];
  #waitingBytes = 0;
  #inFlightBytes = 0;
  #lastDueMs = 0;
  #timer: Subscription | undefined;

  constructor(deps: {
    readonly clock: Clock;
    readonly link: Link;
    readonly windowBytes: number;
    readonly deliver: (parcel: Parcel) => void;
    readonly onDrain: () => void;
  }) {
    this.#clock = deps.clock;
    this.#link = deps.link;
    this.#windowBytes = deps.windowBytes;
    this.#deliver = deps.deliver;
    this.#onDrain = deps.onDrain;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  push(parcel: Parcel): void {
    this.#waiting.push(parcel);
    this.#waitingBytes += sizeOf(parcel);
    this.#fillWindow();
    this.wake();
  }

  /** Sets the timer for the next arrival, unless the link holds everything back. */
  wake(): void {
    const next = this.#inFlight[0];
    if (next === undefined || this.#timer !== undefined || this.#link.state === "held") return;
    const delayMs = next.dueMs - this.#clock.monotonicMs();
    const arrive = () => this.#arrive();
    this.#timer = delayMs > 0 ? this.#clock.setTimeout(arrive, delayMs) : this.#clock.setImmediate(arrive);
  }

  /** Drops all that is on its way. */
  discard(): void {
    this.#timer?.dispose();
    this.#timer = undefined;
    this.#waiting.length = 0;
    this.#inFlight.length = 0;
    this.#waitingBytes = 0;
    this.#inFlightBytes = 0;
  }

  #fillWindow(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const sizeBytes = sizeOf(next);
      // A frame larger than the window travels alone.
      if (this.#inFlight.length > 0 && this.#inFlightBytes + sizeBytes > this.#windowBytes) return;
      this.#waiting.shift();
      this.#waitingBytes -= sizeBytes;
      this.#inFlightBytes += sizeBytes;
      // Never before the one ahead of it: a connection is ordered, whatever latency was drawn.
      this.#lastDueMs = Math.max(this.#lastDueMs, this.#clock.monotonicMs() + this.#link.drawLatencyMs());
      this.#lastDueMs += this.#link.transmissionMs(sizeBytes);
      this.#inFlight.push({ parcel: next, dueMs: this.#lastDueMs });
    }
  }

  #arrive(): void {
    this.#timer = undefined;
    if (this.#link.state === "held") return;
    const arrived = this.#inFlight.shift();
    if (arrived === undefined) return;
    const waitedBytes = this.#waitingBytes;
    this.#inFlightBytes -= sizeOf(arrived.parcel);
    this.#fillWindow();
    this.wake();
    this.#deliver(arrived.parcel);
    if (waitedBytes > 0 && this.#waitingBytes === 0) this.#onDrain();
  }
}

function sizeOf(parcel: Parcel): number {
  return parcel.kind === "frame" ? parcel.frame.byteLength : 0;
}
