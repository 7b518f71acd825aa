import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  MAX_INTEGER_BYTES,
  packIntegers,
  packUuids,
  UUID_BYTES,
  unpackIntegers,
  unpackUuids,
} from "./column-packing.js";

const seeded = { seed: 11, numRuns: 200 } as const;

describe("packed uuids", () => {
  it("come out as they went in", () => {
    fc.assert(
      fc.property(fc.array(fc.uuid(), { maxLength: 40 }), (uuids) => {
        const bytes = packUuids(uuids)!;
        expect(bytes.length).toBe(uuids.length * UUID_BYTES);
        expect(unpackUuids(bytes)).toEqual(uuids);
      }),
      seeded,
    );
  });

  it.each([
    ["upper case", "0188A2C4-0000-7000-8000-000000000000"],
    ["no dashes", "0188a2c40000700080000000000000000000"],
    ["a dash in another place", "0188a2c-40000-7000-8000-000000000000"],
    ["other letters", "0188a2c4-0000-7000-8000-00000000000g"],
    ["letters beyond ASCII", "0188a2c4-0000-7000-8000-00000000000ä"],
    ["a character too many", "0188a2c4-0000-7000-8000-0000000000000"],
    ["nothing", ""],
  ])("are not made of text with %s", (_, text) => {
    expect(packUuids(["0188a2c4-0000-7000-8000-000000000000", text])).toBeNull();
  });
});

describe("packed integers", () => {
  it("come out as they went in, or are not packed", () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeInteger(), { minLength: 1, maxLength: 40 }), (values) => {
        const packed = packIntegers(values);
        if (packed === null) {
          const least = Math.min(...values);
          const tooFarApart = Math.max(...values) - least >= 256 ** MAX_INTEGER_BYTES;
          expect(tooFarApart || least > Number.MAX_SAFE_INTEGER - 256 ** MAX_INTEGER_BYTES).toBe(true);
        } else {
          expect(packed.bytes.length).toBe(values.length * packed.width);
          expect(unpackIntegers(packed, values.length)).toEqual(values);
        }
      }),
      seeded,
    );
  });

  it("take as many bytes as they differ by", () => {
    for (const [values, width] of [
      [[7, 7, 7], 0],
      [[1_000, 1_255], 1],
      [[1_000, 1_256], 2],
      [[-1, 256 ** 6 - 2], 6],
      [[Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER + 1], 1],
    ] as const) {
      const packed = packIntegers(values)!;
      expect(packed.width).toBe(width);
      expect(unpackIntegers(packed, values.length)).toEqual(values);
    }
  });

  it.each([[[1, null]], [[1, "2"]], [[1.5]], [[-0]], [[2 ** 53]], [[0, 256 ** 6]], [[]]])(
    "are not made of %j",
    (values) => {
      expect(packIntegers(values)).toBeNull();
    },
  );
});
