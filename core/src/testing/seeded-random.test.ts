import { expect, it } from "vitest";
import { SeededRandom } from "./seeded-random.js";

it("repeats its numbers and bytes for the same seed, and gives others for another", () => {
  const draw = (seed: number) => {
    const random = new SeededRandom(seed);
    return { numbers: Array.from({ length: 5 }, () => random.next()), bytes: [...random.bytes(5)] };
  };
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
});

it("spreads its numbers evenly over [0, 1)", () => {
  const random = new SeededRandom(1);
  const buckets = new Array<number>(10).fill(0);
  for (let draws = 0; draws < 10_000; draws++) buckets[Math.floor(random.next() * 10)]!++;
  for (const count of buckets) expect(Math.abs(count - 1_000)).toBeLessThan(150);
});
