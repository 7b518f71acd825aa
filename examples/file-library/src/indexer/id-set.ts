/** A set of local integer keys, at one bit each: a library of a million entries costs 128 kB. */
export class IdSet {
  #bits = new Uint8Array(1024);

  add(id: number): void {
    const index = id >>> 3;
    if (index >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(this.#bits.length * 2, index + 1));
      larger.set(this.#bits);
      this.#bits = larger;
    }
    this.#bits[index]! |= 1 << (id & 7);
  }

  has(id: number): boolean {
    return ((this.#bits[id >>> 3] ?? 0) & (1 << (id & 7))) !== 0;
  }
}
