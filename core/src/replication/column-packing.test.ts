import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  MAX_HEX_BYTES,
  MAX_INTEGER_BYTES,
  packHex,
  packIntegers,
  packRising,
  packTexts,
  packUuids,
  UUID_BYTES,
  unpackHex,
  unpackIntegers,
  unpackRising,
  unpackTexts,
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

/** Values of any kind, most of them as near to each other as those of a column are. */
const column = fc.oneof(
  fc.array(fc.maxSafeInteger(), { minLength: 1, maxLength: 40 }),
  fc
    .tuple(fc.maxSafeInteger(), fc.nat({ max: MAX_INTEGER_BYTES }))
    .chain(([from, width]) => {
      const most = Math.min(Number.MAX_SAFE_INTEGER, from + 256 ** width);
      return fc.array(fc.integer({ min: from, max: most }), { minLength: 1, maxLength: 40 });
    })
    .map((values) => values.map((value) => value + 0)),
);

describe("packed integers", () => {
  it("come out as they went in, or are not packed", () => {
    fc.assert(
      fc.property(column, (values) => {
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

describe("packed uuids in order", () => {
  const rising = fc.array(fc.uuid(), { minLength: 2, maxLength: 60 }).map((uuids) => [...new Set(uuids)].sort());

  it("come out as they went in, in fewer bytes", () => {
    fc.assert(
      fc.property(rising, (uuids) => {
        const packed = packUuids(uuids)!;
        const shorter = packRising(packed);
        if (shorter === null) return;
        expect(shorter.bytes.length).toBeLessThan(packed.length);
        expect(unpackUuids(unpackRising(shorter, uuids.length)!)).toEqual(uuids);
      }),
      seeded,
    );
    const ofOneSecond = Array.from(
      { length: 100 },
      (_, ms) => `018f0000-${(256 + ms).toString(16).padStart(4, "0")}-7abc-8def-0123456789ab`,
    );
    expect(packRising(packUuids(ofOneSecond)!)).toMatchObject({ width: 1 });
  });

  it("are none where they fall, and where they lead beyond what six bytes hold", () => {
    const falling = ["ffffffff-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"];
    expect(packRising(packUuids(falling)!)).toBeNull();
    expect(packRising(packUuids([])!)).toBeNull();
    const bytes = new Uint8Array(2 * 11).fill(1);
    expect(unpackRising({ first: 256 ** 6 - 1, width: 1, bytes }, 2)).toBeNull();
    expect(unpackRising({ first: 256 ** 6 - 3, width: 1, bytes }, 2)).not.toBeNull();
  });
});

describe("packed hexadecimal text", () => {
  const hex = fc
    .integer({ min: 1, max: MAX_HEX_BYTES })
    .chain((width) => fc.array(fc.uint8Array({ minLength: width, maxLength: width }), { minLength: 1, maxLength: 20 }))
    .map((all) => all.map((bytes) => Buffer.from(bytes).toString("hex")));

  it("comes out as it went in", () => {
    fc.assert(
      fc.property(hex, (texts) => {
        const packed = packHex(texts)!;
        expect(packed.bytes.length).toBe(texts.length * packed.width);
        expect(unpackHex(packed)).toEqual(texts);
      }),
      seeded,
    );
  });

  it.each([
    ["capitals", ["AB"]],
    ["an odd number of digits", ["abc"]],
    ["other letters", ["0g"]],
    ["texts of two lengths", ["ab", "abcd"]],
    ["nothing", [""]],
    ["no text", []],
    ["what is longer than a digest", ["00".repeat(MAX_HEX_BYTES + 1)]],
    ["letters beyond ASCII", ["0\u0430"]],
  ])("is not made of %s", (_, texts) => {
    expect(packHex(texts)).toBeNull();
  });
});

describe("packed texts", () => {
  const text = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), fc.constantFrom("\ufeffmark", "", "\ufffd"));

  it("come out as they went in, or are not packed", () => {
    fc.assert(
      fc.property(fc.array(fc.option(text), { minLength: 1, maxLength: 40 }), (texts) => {
        const bytes = packTexts(texts);
        const plain = texts.every((it) => it === null || !/[\n\0]/.test(it));
        expect(bytes !== null).toBe(plain && texts.some((it) => it !== null));
        if (bytes !== null) expect(unpackTexts(bytes, texts.length)).toEqual(texts);
      }),
      seeded,
    );
  });

  it.each<[string, unknown[]]>([
    ["a line feed", ["a", "b\nc"]],
    ["a text that stands for NULL", ["a", "\0"]],
    ["half of a surrogate pair", ["a", "\ud83d"]],
    ["a number", ["a", 1]],
    ["a blob", ["a", { b: "AA==" }]],
    ["NULLs alone", [null, null]],
  ])("are not made of %s", (_, values) => {
    expect(packTexts(values)).toBeNull();
  });

  it.each<[string, Uint8Array, number]>([
    ["fewer than they should be", Buffer.from("a\nb"), 3],
    ["more than they should be", Buffer.from("a\nb\nc"), 2],
    ["of no text at all", Buffer.from(""), 0],
    ["not UTF-8", Buffer.from([0x61, 0xff, 0x0a, 0x62]), 2],
    ["cut off within a character", Buffer.from("a\nä").subarray(0, 3), 2],
  ])("are refused where they are %s", (_, bytes, count) => {
    expect(unpackTexts(bytes, count)).toBeNull();
  });
});
