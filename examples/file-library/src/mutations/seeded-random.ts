import { createHash } from "node:crypto";

/** A repeatable source of chance: the same seed gives the same run. Not for identifiers that others could guess. */
export class SeededRandom {
  /** State of the generator sfc32; never all zero, because it comes from a hash. */
  readonly #state: Int32Array;

  constructor(seed: string) {
    const hash = createHash("sha256").update(seed).digest();
    this.#state = new Int32Array([hash.readInt32LE(0), hash.readInt32LE(4), hash.readInt32LE(8), 1]);
    for (let i = 0; i < 12; i++) this.next();
  }

  /** A number in [0, 1). */
  next(): number {
    const s = this.#state;
    const sum = (s[0]! + s[1]! + s[3]!) | 0;
    s[3] = (s[3]! + 1) | 0;
    s[0] = s[1]! ^ (s[1]! >>> 9);
    s[1] = (s[2]! + (s[2]! << 3)) | 0;
    s[2] = ((s[2]! << 21) | (s[2]! >>> 11)) + sum;
    return (sum >>> 0) / 4294967296;
  }

  /** A whole number in [0, limit). */
  int(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** One of `items`, which must not be empty. */
  pick<Item>(items: readonly Item[]): Item {
    return items[this.int(items.length)]!;
  }
}
