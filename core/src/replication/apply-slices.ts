import type { IncomingRecord } from "./incoming.js";
import type { SettledBlock } from "./settled-block.js";

/** Cuts what came in a page into slices of one transaction each: first the single records, then the blocks. */
export class Slices {
  readonly #records: readonly IncomingRecord[];
  readonly #blocks: readonly SettledBlock[];
  #nextRecord = 0;
  #nextBlock = 0;
  #nextRow = 0;

  constructor(records: readonly IncomingRecord[], blocks: readonly SettledBlock[]) {
    this.#records = records;
    this.#blocks = blocks.filter(({ identities }) => identities.length > 0);
  }

  get atBeginning(): boolean {
    return this.#nextRecord === 0 && this.#nextBlock === 0 && this.#nextRow === 0;
  }

  get atEnd(): boolean {
    return this.#nextRecord === this.#records.length && this.#nextBlock === this.#blocks.length;
  }

  /** The next slice of at most `size` records; without any, and no block, when there are none. */
  next(size: number): Slice {
    const block = this.#blocks[this.#nextBlock];
    if (this.#nextRecord < this.#records.length || block === undefined) {
      const records = this.#records.slice(this.#nextRecord, this.#nextRecord + size);
      this.#nextRecord += records.length;
      return { size: records.length, records, block: null };
    }
    const from = this.#nextRow;
    const to = Math.min(from + size, block.identities.length);
    this.#nextRow = to;
    if (to === block.identities.length) {
      this.#nextBlock += 1;
      this.#nextRow = 0;
    }
    return { size: to - from, block, from, to };
  }
}

export type Slice =
  | { readonly size: number; readonly records: readonly IncomingRecord[]; readonly block: null }
  | { readonly size: number; readonly block: SettledBlock; readonly from: number; readonly to: number };
