import { isTidemarkError } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Affinity } from "../registry/model.js";
import { isRawText } from "../storage/row-writer.js";
import {
  decodeWireValue,
  encodeTextBytes,
  encodeWireValue,
  MAX_VALUE_LENGTH,
  mayBeRepaired,
  type StoredValue,
} from "./wire-value.js";

const DECLARED: Readonly<Record<Affinity, string>> = {
  integer: "INTEGER",
  text: "TEXT",
  real: "REAL",
  numeric: "NUMERIC",
  none: "",
};
const AFFINITIES = Object.keys(DECLARED) as Affinity[];

let db: Database.Database;
beforeAll(() => {
  db = new Database(":memory:");
  const columns = AFFINITIES.map((affinity) => `"${affinity}" ${DECLARED[affinity]}`).join(", ");
  db.exec(`CREATE TABLE here (${columns}); CREATE TABLE there (${columns})`);
});
afterAll(() => db.close());

/** What stands in the column, to the bit. */
function stored(table: string, affinity: Affinity): { readonly type: string; readonly bits: unknown } {
  const { type, value, hex } = db
    .prepare(
      `SELECT typeof("${affinity}") AS type, "${affinity}" AS value, hex(CAST("${affinity}" AS BLOB)) AS hex FROM ${table}`,
    )
    .safeIntegers(true)
    .get() as { type: string; value: unknown; hex: string };
  return { type, bits: typeof value === "string" || Buffer.isBuffer(value) ? hex : value };
}

function readWire(affinity: Affinity): unknown {
  const value = db.prepare(`SELECT "${affinity}" FROM here`).pluck().safeIntegers(true).get() as StoredValue;
  if (typeof value !== "string" || !mayBeRepaired(value)) return encodeWireValue(value, affinity);
  return encodeTextBytes(db.prepare(`SELECT CAST("${affinity}" AS BLOB) FROM here`).pluck().get() as Buffer);
}

/** Stores an SQL expression here, sends it as JSON, stores it there, and returns both and the JSON. */
function travel(affinity: Affinity, expression: string, parameter?: unknown) {
  db.exec("DELETE FROM here; DELETE FROM there");
  const parameters = parameter === undefined ? [] : [parameter];
  db.prepare(`INSERT INTO here ("${affinity}") VALUES (${expression})`).run(...parameters);
  const json = JSON.stringify(readWire(affinity));
  const bindable = decodeWireValue(JSON.parse(json), affinity);
  if (isRawText(bindable)) {
    db.prepare(`INSERT INTO there ("${affinity}") VALUES (CAST(? AS TEXT))`).run(bindable.bytes);
  } else db.prepare(`INSERT INTO there ("${affinity}") VALUES (?)`).run(bindable);
  return { json, here: stored("here", affinity), there: stored("there", affinity) };
}

const integers = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(2n ** 53n, 2n ** 53n - 1n, -(2n ** 53n), 1n - 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), 0n, -1n),
  fc.integer().map(BigInt),
);
const reals = fc.oneof(
  fc.double({ noNaN: true }),
  fc.integer().map(Number),
  fc.constantFrom(5, 1e15, 2 ** 53, 2 ** 60, 2 ** 63, -(2 ** 63), 1e300, 5e-324, Infinity, -Infinity, 0.1 + 0.2),
);
const texts = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom("\u0000", "\uFFFD", "\uFEFF", "\u2028", "a", "1", "é", "\u{1F600}", '"', "\\") }),
  fc.constantFrom("5", "5.0", "1e3", " 7 ", "0x10", "9007199254740993", "9223372036854775808", "Infinity", "NaN", ""),
);
const bytes = fc
  .oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.array(fc.constantFrom(0xff, 0xc0, 0xed, 0xa0, 0x80, 0xef, 0xbf, 0xbd, 0x61, 0x00, 0x35), { maxLength: 8 }),
  )
  .map((array) => Buffer.from(array));
const contents = fc.oneof(
  integers.map((value) => ({ expression: "?", value })),
  reals.map((value) => ({ expression: "?", value })),
  texts.map((value) => ({ expression: "?", value })),
  bytes.map((value) => ({ expression: "?", value })),
  bytes.map((value) => ({ expression: "CAST(? AS TEXT)", value })),
  fc.constant({ expression: "?", value: null }),
);

describe("a stored value, sent and stored again", () => {
  it.each(AFFINITIES)("is the same to the bit, storage class included, in a column of affinity %s", (affinity) => {
    fc.assert(
      fc.property(contents, ({ expression, value }) => {
        const { here, there } = travel(affinity, expression, value);
        // -0 is the one value that is not kept: it becomes 0.
        const expected = Object.is(here.bits, -0) ? { ...here, bits: 0 } : here;
        expect(there).toStrictEqual(expected);
      }),
      { seed: 20261122, numRuns: 1500 },
    );
  });

  it("keeps 1.0 apart from 1 where the column has no affinity", () => {
    expect(travel("none", "1.0")).toMatchObject({ json: '{"r":1}', there: { type: "real" } });
    expect(travel("none", "1")).toMatchObject({ json: "1", there: { type: "integer" } });
    expect(travel("real", "1")).toMatchObject({ json: "1", there: { type: "real" } });
    expect(travel("none", "-0.0")).toMatchObject({ json: '{"r":0}', there: { type: "real", bits: 0 } });
  });

  it("keeps U+FFFD apart from bytes that are not UTF-8", () => {
    expect(travel("text", "?", "a\uFFFD")).toMatchObject({
      json: '"a\uFFFD"',
      there: { type: "text", bits: "61EFBFBD" },
    });
    expect(travel("text", "CAST(x'61FF' AS TEXT)")).toMatchObject({ json: '{"t":"Yf8="}', there: { bits: "61FF" } });
  });

  it("is written in the one way that the decoder accepts", () => {
    expect(encodeWireValue(2n ** 53n - 1n, "integer")).toBe(9007199254740991);
    expect(encodeWireValue(-(2n ** 53n), "integer")).toEqual({ i: "-9007199254740992" });
    expect(encodeWireValue(1e300, "real")).toEqual({ r: 1e300 });
    expect(encodeWireValue(-Infinity, "real")).toEqual({ r: "-Infinity" });
    expect(encodeWireValue(Buffer.from([0]), "none")).toEqual({ b: "AA==" });
    expect(encodeWireValue("", "text")).toBe("");
    expect(encodeWireValue(null, "text")).toBeNull();
  });
});

describe("a value from outside", () => {
  it("is bound as an integer unless the column is REAL", () => {
    expect(decodeWireValue(5, "text")).toBe(5n);
    expect(decodeWireValue(5, "none")).toBe(5n);
    expect(decodeWireValue(5, "real")).toBe(5);
    expect(decodeWireValue(-0, "real")).toBe(0);
    expect(decodeWireValue({ r: -0 }, "none")).toBe(0);
    expect(decodeWireValue({ i: "9223372036854775807" }, "real")).toBe(2 ** 63);
  });

  const BAD: readonly (readonly [string, unknown])[] = [
    ["undefined", undefined],
    ["a boolean", true],
    ["a bigint", 5n],
    ["NaN", Number.NaN],
    ["infinity as a number", Number.POSITIVE_INFINITY],
    ["an integer beyond 2^53 as a number", 2 ** 53],
    ["a huge real without its tag", 1e300],
    ["an array", ["i"]],
    ["an array of a pair", [["i", "9007199254740993"]]],
    ["an object without a key", {}],
    ["two tags", { i: "9007199254740993", b: "" }],
    ["an unknown tag", { x: 1 }],
    ["__proto__ as a tag", JSON.parse('{"__proto__":1}')],
    ["a small integer with a tag", { i: "5" }],
    ["the largest exact integer with a tag", { i: "9007199254740991" }],
    ["an integer of 65 bits", { i: "9223372036854775808" }],
    ["an integer below -2^63", { i: "-9223372036854775809" }],
    ["an endless integer", { i: "9".repeat(1_000_000) }],
    ["an integer with leading zeros", { i: "0009007199254740993" }],
    ["a hexadecimal integer", { i: "0x20000000000001" }],
    ["a tagged integer that is a number", { i: 2 ** 53 }],
    ["a fraction with the tag of reals", { r: 1.5 }],
    ["a text with the tag of reals", { r: "5" }],
    ["NaN with the tag of reals", { r: "NaN" }],
    ["base64 with a foreign character", { b: "AA=*" }],
    ["base64 without padding", { b: "AA" }],
    ["base64 with bits to spare", { b: "AB==" }],
    ["base64 for URLs", { b: "_-8=" }],
    ["bytes as a list", { b: [1, 2] }],
    ["valid text tagged as invalid", { t: "YWJj" }],
    ["half of a surrogate pair", "a\uD800b"],
    ["surrogates in the wrong order", "\uDE00\uD83D"],
    ["a text that is too long", "a".repeat(MAX_VALUE_LENGTH + 1)],
    ["bytes that are too long", { b: "A".repeat(MAX_VALUE_LENGTH * 1.5) }],
  ];
  it.each(BAD)("is refused with a typed error when it is %s", (_name, value) => {
    for (const affinity of AFFINITIES) {
      expect(() => decodeWireValue(value, affinity)).toThrow(
        expect.toSatisfy((error) => isTidemarkError(error, "TIDEMARK_WIRE_BAD_VALUE")),
      );
    }
  });

  it("is decoded or refused with a typed error, whatever JSON it is, and read back as it was sent", () => {
    const tagged = fc.tuple(fc.constantFrom("i", "r", "b", "t"), fc.oneof(fc.jsonValue(), fc.base64String()));
    const values = fc.oneof(
      fc.jsonValue(),
      tagged.map(([tag, content]) => ({ [tag]: content })),
    );
    fc.assert(
      fc.property(values, fc.constantFrom(...AFFINITIES), (value, affinity) => {
        try {
          const bindable = decodeWireValue(value, affinity);
          const again = isRawText(bindable) ? encodeTextBytes(bindable.bytes) : encodeWireValue(bindable, "none");
          expect(decodeWireValue(again, affinity)).toStrictEqual(bindable);
        } catch (error) {
          if (!isTidemarkError(error, "TIDEMARK_WIRE_BAD_VALUE")) throw error;
        }
      }),
      { seed: 20261122, numRuns: 2000 },
    );
  });
});

it("refuses to send what no other device would accept", () => {
  expect(() => encodeWireValue("a".repeat(MAX_VALUE_LENGTH + 1), "text")).toThrow(
    expect.toSatisfy((error) => isTidemarkError(error, "TIDEMARK_WIRE_VALUE_TOO_LONG")),
  );
});
