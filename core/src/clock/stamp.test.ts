import fc from "fast-check";
import { expect, it } from "vitest";
import { compareStamps } from "./stamp.js";

const stamps = fc.record({ hlc: fc.integer({ min: 0, max: 5 }), origin: fc.string({ maxLength: 3, unit: "binary" }) });
type Stamp = { readonly hlc: number; readonly origin: string };
const compare = (a: Stamp, b: Stamp) => Math.sign(compareStamps(a.hlc, a.origin, b.hlc, b.origin));

it("orders stamps by time, then by origin id", () => {
  expect(compareStamps(1, "z", 2, "a")).toBeLessThan(0);
  expect(compareStamps(2, "a", 2, "b")).toBeLessThan(0);
  expect(compareStamps(2, "B", 2, "a")).toBeLessThan(0);
  expect(compareStamps(2, "b", 2, "b")).toBe(0);
});

it("is a total order", () => {
  fc.assert(
    fc.property(stamps, stamps, stamps, (a, b, c) => {
      expect(compare(a, b) + compare(b, a)).toBe(0);
      expect(compare(a, b) === 0).toBe(a.hlc === b.hlc && a.origin === b.origin);
      if (compare(a, b) <= 0 && compare(b, c) <= 0) expect(compare(a, c)).toBeLessThanOrEqual(0);
    }),
    { seed: 20261122, numRuns: 1000 },
  );
});
