import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findJsonError } from "./json-position.js";

describe("the position of an error in JSON", () => {
  it.each([
    ["", 1, 1],
    ["{", 1, 2],
    ['{"a": }', 1, 7],
    ['{"a": 1,}', 1, 9],
    ["[1 2]", 1, 4],
    ["[1,]", 1, 4],
    ["[,]", 1, 2],
    ["{'a': 1}", 1, 2],
    ['{"a" 1}', 1, 6],
    ['{"a": tru}', 1, 7],
    ['{"a": 01}', 1, 8],
    ['{"a": 1} x', 1, 10],
    ['{\n  "a": {\r\n    // no comments\n  }\n}', 3, 5],
    ['["a\tb"]', 1, 2],
    ["[1]]", 1, 4],
    ["{]", 1, 2],
  ])("in %j is line %i, column %i", (text, line, column) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(findJsonError(text)).toEqual({ line, column });
  });

  it("is the end of every text that is JSON, however deep", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom(0, 2), (json, indent) => {
        const text = JSON.stringify(JSON.parse(json), null, indent);
        const lines = text.split("\n");
        expect(findJsonError(text)).toEqual({ line: lines.length, column: lines.at(-1)!.length + 1 });
      }),
      { seed: 1 },
    );
    const deep = 100_000;
    expect(findJsonError("[".repeat(deep))).toEqual({ line: 1, column: deep + 1 });
  });

  it("is before the end of what a stray character has spoilt, and not after that character", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.nat(), (json, at) => {
        const offset = at % (json.length + 1);
        const spoilt = `${json.slice(0, offset)}\u0001${json.slice(offset)}`;
        expect(findJsonError(spoilt).column).toBeLessThanOrEqual(offset + 1);
      }),
      { seed: 1 },
    );
  });
});
