import fc from "fast-check";
import { expect, it } from "vitest";
import { targetsFirst } from "./targets-first.js";

/** Items that refer to any others, so that there are circles as well. */
const graph = fc
  .integer({ min: 1, max: 30 })
  .chain((count) =>
    fc.array(fc.array(fc.nat({ max: count - 1 }), { maxLength: 3 }), { minLength: count, maxLength: count }),
  );

it("keeps every item, once", () => {
  fc.assert(
    fc.property(graph, (targets) => {
      const items = targets.map((_, index) => index);
      expect([...targetsFirst(items, (item) => targets[item]!)].sort((a, b) => a - b)).toEqual(items);
    }),
    { seed: 5, numRuns: 200 },
  );
});

it("puts what is referred to first, where there is no circle", () => {
  fc.assert(
    fc.property(graph, fc.infiniteStream(fc.nat()), (targets, chance) => {
      // Whatever refers to itself or to a later item refers to nothing instead.
      const acyclic = targets.map((of, index) => of.filter((target) => target < index));
      const items = targets.map((_, index) => index);
      items.sort(() => ((chance.next().value as number) % 3) - 1);
      const ordered = targetsFirst(items, (item) => acyclic[item]!);
      ordered.forEach((item, place) => {
        for (const target of acyclic[item]!) expect(ordered.indexOf(target)).toBeLessThan(place);
      });
    }),
    { seed: 6, numRuns: 200 },
  );
});

it("leaves what refers to nothing as it is, and takes a chain of any length", () => {
  expect(targetsFirst([3, 1, 2], () => [])).toEqual([3, 1, 2]);
  const chain = Array.from({ length: 100_000 }, (_, index) => index);
  expect(targetsFirst(chain, (item) => (item + 1 < chain.length ? [item + 1] : []))).toEqual(chain.toReversed());
});
