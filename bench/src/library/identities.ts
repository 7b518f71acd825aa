import type { SeededRandom } from "./random.js";

/** How the records are named: ordered by the time of their creation (uuid v7), or at random (uuid v4). */
export type IdentityKind = "time-ordered" | "random";

/** The first moment of the library: a fixed one, because the same run must make the same records. */
const BEGINNING_MS = Date.UTC(2026, 0, 1);

/** Makes the identities of a library, in the order in which its records are created. */
export class IdentityMaker {
  readonly #kind: IdentityKind;
  readonly #random: SeededRandom;
  #atMs = BEGINNING_MS;

  constructor(kind: IdentityKind, random: SeededRandom) {
    this.#kind = kind;
    this.#random = random;
  }

  next(): string {
    // Some records a millisecond now and then, none for a while at other times: an indexer at work.
    if (this.#random.next() < 0.4) this.#atMs += 1 + this.#random.below(5);
    const variant = "89ab"[this.#random.below(4)];
    if (this.#kind === "random") {
      const digits = this.#random.hex(30);
      return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(12, 15)}-${variant}${digits.slice(15, 18)}-${digits.slice(18, 30)}`;
    }
    const time = this.#atMs.toString(16).padStart(12, "0");
    const digits = this.#random.hex(18);
    return `${time.slice(0, 8)}-${time.slice(8)}-7${digits.slice(0, 3)}-${variant}${digits.slice(3, 6)}-${digits.slice(6)}`;
  }
}
