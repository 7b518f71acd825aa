// Draws from a seed, and separate streams from one seed: what one part of a run draws must not shift what another gets,
// or a run with fewer steps would be another run.

import { SeededRandom } from "../seeded-random.js";

export class Chance extends SeededRandom {
  /** A stream of its own, the same for the same name. */
  static of(seed: number, name: string): Chance {
    let mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
    for (const letter of name) mixed = Math.imul(mixed ^ letter.charCodeAt(0), 0x01000193);
    return new Chance(mixed | 0);
  }

  /** From 0 to n − 1. */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  happens(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Picks by weight; the weights need not add up to anything. */
  weighted<T>(items: readonly (readonly [item: T, weight: number])[]): T {
    let left = this.next() * items.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [item, weight] of items) {
      left -= weight;
      if (left < 0) return item;
    }
    return items[items.length - 1]![0];
  }
}
