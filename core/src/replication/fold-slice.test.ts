import { expect, it } from "vitest";
import { FoldSlice } from "./fold-slice.js";

/** The sizes of slices, with an application that writes so many entries before each of them. */
function sizesWith(
  written: readonly number[],
  usual = 2_000,
): { readonly sizes: number[]; readonly emptied: boolean[] } {
  const slice = new FoldSlice(usual);
  const sizes: number[] = [];
  const emptied: boolean[] = [];
  let outbox = 0;
  for (const entries of written) {
    outbox += entries;
    sizes.push(slice.entries);
    outbox = Math.max(0, outbox - slice.entries);
    emptied.push(outbox === 0);
    slice.record(outbox);
  }
  return { sizes, emptied };
}

const times = (count: number, entries: number) => new Array<number>(count).fill(entries);

it("keeps slices short while they are enough", () => {
  expect(new Set(sizesWith(times(100, 1_999)).sizes)).toEqual(new Set([2_000]));
});

it("keeps them short for a single statement that writes very much", () => {
  const { sizes, emptied } = sizesWith([300_000, ...times(200, 500)]);
  expect(new Set(sizes)).toEqual(new Set([2_000]));
  expect(emptied.at(-1)).toBe(true);
});

it.each([2_500, 10_000, 60_000])(
  "catches up again and again with an application that writes %d entries a turn",
  (n) => {
    const { sizes, emptied } = sizesWith(times(400, n));
    let longest = 0;
    for (let at = 0, since = 0; at < emptied.length; at++) {
      since = emptied[at] ? 0 : since + 1;
      longest = Math.max(longest, since);
    }
    expect(longest).toBeLessThan(32);
    // No more than it takes.
    expect(Math.max(...sizes)).toBeLessThanOrEqual(4 * n);
  },
);

it("is back at short slices soon after", () => {
  const { sizes } = sizesWith([...times(50, 20_000), ...times(60, 100)]);
  expect(Math.max(...sizes)).toBeGreaterThan(10_000);
  expect(sizes.at(-1)).toBe(2_000);
});

it("folds whole entries, however few a slice has", () => {
  const { sizes } = sizesWith([...times(20, 200_000), ...times(60, 10)], 50);
  expect(Math.max(...sizes)).toBe(128_000);
  expect(sizes.at(-1)).toBe(50);
  expect(sizes.every(Number.isInteger)).toBe(true);
});
