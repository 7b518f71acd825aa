import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holds, isWithin, type Stretch, WHOLE, without } from "./backfill-ranges.js";

/** Identities in their order: in UTF-16 the last two would change places. */
const IDENTITIES = ["a", "a b", "aa", "b", "c", "d", "\uffff", "\u{10000}"];
const end = fc.option(fc.constantFrom(...IDENTITIES), { nil: null });
const stretch: fc.Arbitrary<Stretch> = fc.tuple(end, end);

const heldBy = (open: readonly Stretch[]) => IDENTITIES.filter((it) => open.some((part) => holds(part, it)));

describe("open ranges", () => {
  it("lose what is taken out of them, and nothing else, in whatever order", () => {
    fc.assert(
      fc.property(fc.array(stretch, { maxLength: 12 }), (parts) => {
        let open = WHOLE;
        let left = IDENTITIES;
        for (const part of parts) {
          if (!isWithin(open, part)) continue;
          open = without(open, part);
          left = left.filter((it) => !holds(part, it));
          expect(heldBy(open)).toEqual(left);
          expect(isWithin(open, part)).toBe(false);
        }
      }),
    );
  });

  it("are closed by parts that meet", () => {
    let open = WHOLE;
    for (const part of [
      ["c", null],
      [null, "b"],
      ["b", "c"],
    ] satisfies Stretch[]) {
      expect(isWithin(open, part)).toBe(true);
      open = without(open, part);
    }
    expect(open).toEqual([]);
  });

  it.each<Stretch>([
    ["b", "b"],
    ["c", "b"],
  ])("don't hold a stretch that goes from %j to %j", (after, upTo) => {
    expect(isWithin(WHOLE, [after, upTo])).toBe(false);
  });

  it("don't hold what begins before them or ends behind them", () => {
    const open: Stretch[] = [["b", "d"]];
    expect(isWithin(open, ["a", "c"])).toBe(false);
    expect(isWithin(open, [null, "c"])).toBe(false);
    expect(isWithin(open, ["b", null])).toBe(false);
    expect(isWithin(open, ["c", "d"])).toBe(true);
  });
});
