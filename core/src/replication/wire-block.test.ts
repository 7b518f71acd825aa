import type { WireValue } from "@tidemark/plugin-api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkWireRecords } from "./decode-records.js";
import { decodeMessage, encodeMessage, type MessageOf } from "./messages.js";
import { HeardIdentities, ToldIdentities } from "./told-identities.js";
import {
  ByteReader,
  blockOf,
  isDictionary,
  type PackedBlock,
  packBlock,
  unpackBlock,
  valueAt,
  WireBlock,
} from "./wire-block.js";
import type { WireSettledRecord } from "./wire-records.js";

const seeded = { seed: 23, numRuns: 150 } as const;

const value: fc.Arbitrary<WireValue> = fc.oneof(
  fc.constant(null),
  fc.string(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.record({ i: fc.constant("9007199254740993") }),
  fc.record({ b: fc.constant("AA==") }),
);
/** What whole columns are like: anything, numbers near each other, uuids, a few texts again and again. */
const column = (rows: number): fc.Arbitrary<WireValue[]> => {
  const of = <T extends WireValue>(values: fc.Arbitrary<T>) => fc.array(values, { minLength: rows, maxLength: rows });
  const digest = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString("hex"));
  return fc.oneof(
    of(value),
    of(fc.integer()),
    of(fc.uuid()),
    of(fc.option(fc.uuid())),
    of(fc.option(fc.string())),
    of(digest),
    of(fc.constantFrom("a", "b", null)),
  );
};
const table = fc
  .integer({ min: 16, max: 40 })
  .chain((rows) => fc.tuple(fc.array(fc.tuple(fc.boolean(), column(rows)), { maxLength: 5 }), fc.constant(rows)));

function travel(block: WireBlock, told?: ToldIdentities, heard?: HeardIdentities): WireBlock {
  const bytes: Uint8Array[] = [];
  const json = JSON.stringify(
    packBlock(block, bytes, { told: told ?? null, mark: told?.markFor(block.identities) ?? null }),
  );
  told?.note(block.identities);
  const reader = new ByteReader(Buffer.concat(bytes));
  const there = unpackBlock(JSON.parse(json), reader, heard);
  expect(reader.ended).toBe(true);
  return there;
}

describe("a block", () => {
  it("holds what it was made of, here and on the other side", () => {
    fc.assert(
      fc.property(table, ([columns, rows]) => {
        // Of a reference there are identities and nulls.
        const asReference = columns.map(
          ([wanted, values]) => wanted && values.every((it) => it === null || typeof it === "string"),
        );
        const records = Array.from(
          { length: rows },
          (_, row): WireSettledRecord => [`r${row}`, columns.map(([, values]) => values[row]!)],
        );
        const block = blockOf(records, asReference)!;
        for (const it of [block, travel(block)]) {
          expect(it.identities).toEqual(records.map(([identity]) => identity));
          const shown = records.map((_, row) => it.columns.map((values) => valueAt(values, row)));
          // As JSON, which is what travels: -0 is 0 there, and never is a wire value.
          expect(JSON.stringify(shown)).toBe(JSON.stringify(records.map(([, values]) => values)));
        }
        asReference.forEach((reference, index) => {
          if (reference) expect(isDictionary(block.columns[index]!)).toBe(true);
        });
      }),
      seeded,
    );
  });

  it("may name what was told before by its number", () => {
    const targets = fc.uniqueArray(fc.uuid(), { minLength: 16, maxLength: 40 }).map((uuids) => uuids.sort());
    fc.assert(
      fc.property(targets, fc.uuid(), fc.infiniteStream(fc.nat()), (uuids, stranger, chance) => {
        const told = new ToldIdentities();
        const heard = new HeardIdentities();
        const first = blockOf(
          uuids.map((uuid): WireSettledRecord => [uuid, [null]]),
          [false],
        )!;
        travel(first, told, heard);
        const pick = () => [...uuids, stranger, null][(chance.next().value as number) % (uuids.length + 2)]!;
        const records = Array.from({ length: 30 }, (_, row): WireSettledRecord => [`r${100 + row}`, [pick()]]);
        const second = blockOf(records, [true])!;
        expect(travel(second, told, heard)).toEqual(second);
        // The block itself was told as well.
        const third = blockOf(
          Array.from({ length: 20 }, (_, row): WireSettledRecord => [`s${row}`, [`r${100 + row}`]]),
          [true],
        )!;
        const bytes: Uint8Array[] = [];
        expect(JSON.stringify(packBlock(third, bytes, { told }).v)).not.toContain("r100");
        expect(travel(third, told, heard)).toEqual(third);
      }),
      seeded,
    );
  });

  it("counts anew with the first block of the next backfill", () => {
    const heard = new HeardIdentities();
    const blockWith = (prefix: string, value: WireValue) =>
      blockOf(
        Array.from({ length: 16 }, (_, row): WireSettledRecord => [`${prefix}${10 + row}`, [value]]),
        [true],
      )!;
    travel(blockWith("a", null), new ToldIdentities(), heard);
    const next = new ToldIdentities();
    travel(blockWith("b", null), next, heard);
    const referring = blockWith("c", "b12");
    expect(travel(referring, next, heard)).toEqual(referring);
    expect(() => heard.at(33)).toThrow(expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" }));
  });

  it("is not counted beyond what both ends keep", () => {
    const told = new ToldIdentities();
    const heard = new HeardIdentities();
    const many = Array.from({ length: 2 ** 17 }, (_, index) => `i${index}`);
    for (let times = 0; times < 2; times++) {
      heard.note(many, told.markFor(many)!);
      told.note(many);
    }
    expect(told.markFor(["one more"])).toBeNull();
    expect(() => heard.note(["one more"], 1)).toThrow(expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" }));
    const long = Array.from({ length: 2 ** 15 }, () => "x".repeat(512));
    expect(new ToldIdentities().markFor(long)).toBeNull();
  });

  it("is not made of a few records, nor of more than one is allowed to hold", () => {
    const records = (count: number) => Array.from({ length: count }, (_, row): WireSettledRecord => [`r${row}`, [row]]);
    expect(blockOf(records(15), [false])).toBeNull();
    expect(blockOf(records(16), [false])).not.toBeNull();
    expect(blockOf(records(16), new Array(70_000).fill(false))).toBeNull();
  });

  const good = { n: 2, i: ["a", "b"], v: [["x", "y"]] } as const;
  it.each<[string, unknown, Uint8Array?]>([
    ["nothing", null],
    ["a count that is none", { ...good, n: -1 }],
    ["a count without values", { ...good, n: 1_000_001 }],
    ["identities that are numbers", { ...good, i: [1, 2] }],
    ["identities as integers", { ...good, i: { z: [0, 0] } }],
    ["no columns", { n: 2, i: ["a", "b"] }],
    ["a column of another length", { ...good, v: [["x"]] }],
    ["a column of no form", { ...good, v: [{ y: 1 }] }],
    ["more cells than allowed", { ...good, v: new Array(500_001).fill(["x", "y"]) }],
    ["integers of too many bytes", { ...good, v: [{ z: [0, 7] }] }],
    ["integers that are not exact", { ...good, v: [{ z: [Number.MAX_SAFE_INTEGER, 1] }] }],
    ["more bytes than there are", { ...good, v: [{ u: 1 }] }],
    ["a dictionary longer than the block", { ...good, v: [{ d: ["x", "y", "z"], n: 3, a: [1, 2] }] }],
    ["a place that the dictionary does not have", { ...good, v: [{ d: ["x"], n: 1, a: [1, 2] }] }],
    ["numbers where none were told", { ...good, v: [{ t: [1], d: [], n: 1, a: [1, 1] }] }],
    ["a mark where nothing is counted", { ...good, s: 1 }],
    ["uuids that rise by too much", { ...good, v: [{ u: [0, 6] }] }],
    ["uuids that begin nowhere", { ...good, v: [{ u: [2 ** 48, 0] }] }],
    ["hexadecimal text of no length", { ...good, v: [{ x: 0 }] }],
    ["hexadecimal text that is too long", { ...good, v: [{ x: 65 }] }],
    ["texts of more bytes than there are", { ...good, v: [{ s: 9 }] }],
    ["texts of less than no bytes", { ...good, v: [{ s: -1 }] }],
    ["fewer texts than records", { ...good, v: [{ s: 8 }] }],
    ["an identity that is NULL", { ...good, i: { s: 3 } }, Buffer.from("a\n\0")],
    ["a place that is none", { ...good, v: [{ d: ["x"], n: 1, a: [1, "1"] }] }],
  ])("is refused with %s", (_, packed, bytes = new Uint8Array(8)) => {
    expect(unpackBlock(good, new ByteReader(new Uint8Array())).identities).toEqual(["a", "b"]);
    expect(() => unpackBlock(packed, new ByteReader(bytes))).toThrow(
      expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" }),
    );
  });
});

it("blocks of one message hold no more together than one may alone", () => {
  // Eleven bytes of JSON for each column of a thousand values.
  const wide = (columns: number) => ({
    n: 1_000,
    i: Array.from({ length: 1_000 }, (_, row) => `${1_000 + row}`),
    v: new Array(columns).fill({ z: [0, 0] }),
  });
  const reader = new ByteReader(new Uint8Array());
  expect(unpackBlock(wide(600), reader).columns).toHaveLength(600);
  expect(unpackBlock(wide(400), reader).columns).toHaveLength(400);
  expect(() => unpackBlock({ n: 1, i: ["a"], v: [] }, reader)).toThrow(
    expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" }),
  );
});

it.each<[string, unknown]>([
  ["a number that was never told", { t: [17], d: [], n: 1, a: [1, 1] }],
  ["a number that is none", { t: ["1"], d: [], n: 1, a: [1, 1] }],
  ["fewer texts than have no number", { t: [0, 1], d: [], n: 2, a: [1, 2] }],
  ["more texts than have no number", { t: [0, 1], d: ["a", "b"], n: 2, a: [1, 2] }],
])("numbers of identities are refused with %s", (_, column) => {
  const heard = new HeardIdentities();
  heard.note(
    Array.from({ length: 16 }, (_, index) => `i${index}`),
    2,
  );
  const reader = () => new ByteReader(new Uint8Array());
  const of = (packed: unknown) => unpackBlock({ n: 2, i: ["a", "b"], v: [packed] }, reader(), heard);
  expect(of({ t: [0, 16], d: ["x"], n: 2, a: [1, 2] }).columns[0]).toEqual({ values: ["x", "i15"], at: [1, 2] });
  expect(() => of(column)).toThrow(expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" }));
});

describe("a message with a block", () => {
  const uuids = Array.from({ length: 20 }, (_, index) => `00000000-0000-4000-8000-0000000000${10 + index}`);
  const block = blockOf(
    uuids.map((uuid, index) => [uuid, [index * 1_000, "text"]]),
    [false, false],
  )!;
  const message = {
    t: "backfill-rows",
    request: 1,
    records: { origins: [], groups: [{ m: "M", c: ["number", "text"], r: [], k: block }] },
    upTo: null,
    floor: 0,
  } satisfies MessageOf<"backfill-rows">;
  const malformed = expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" });

  it("comes out as it went in, with uuids and integers as bytes", () => {
    const encoded = encodeMessage(message);
    expect(Buffer.from(encoded).includes(uuids[0]!)).toBe(false);
    expect(decodeMessage(encoded)).toEqual(message);
  });

  it.each<[string, (encoded: Buffer) => Uint8Array]>([
    ["without its last byte", (encoded) => encoded.subarray(0, -1)],
    ["with a byte more", (encoded) => Buffer.concat([encoded, Buffer.from([0])])],
    ["with nothing but its first byte", (encoded) => encoded.subarray(0, 1)],
    [
      "with JSON that ends somewhere else",
      (encoded) => Buffer.concat([encoded.subarray(0, 4), Buffer.from([9]), encoded.subarray(5)]),
    ],
  ])("is refused %s", (_, bend) => {
    expect(() => decodeMessage(bend(Buffer.from(encodeMessage(message))))).toThrow(malformed);
  });

  it("is none where blocks have no place", () => {
    const packed: PackedBlock = { n: 1, i: ["a"], v: [] };
    const records = { origins: [], groups: [{ m: "M", c: [], r: [], k: packed }] };
    expect(() => checkWireRecords(records)).toThrow(malformed);
    expect(() =>
      checkWireRecords({ ...records, groups: [{ m: "M", c: [], r: [], k: new WireBlock(["a"], []) }] }),
    ).not.toThrow();
    expect(() =>
      checkWireRecords({ ...records, groups: [{ m: "M", c: ["x"], r: [], k: new WireBlock(["a"], []) }] }),
    ).toThrow(malformed);
  });
});
