import { describe, expect, it } from "vitest";
import { differencesBetween } from "./differences.js";
import type { Comparison, ModelDigest } from "./messages.js";

const model = (change: Partial<ModelDigest> = {}): ModelDigest => ({
  rows: 3,
  digest: "d",
  independentDigest: "i",
  ...change,
});
const comparison = (models: Comparison["models"]): Comparison => ({ models, foreignKeyViolations: 0 });
const between = (a: ModelDigest, b: ModelDigest) => differencesBetween(comparison({ Tag: a }), comparison({ Tag: b }));

describe("the differences between two devices", () => {
  it("are none when rows and both digests are equal", () => {
    expect(between(model(), model())).toEqual([]);
  });

  it.each<[string, Partial<ModelDigest>]>([
    ["3 and 4 rows", { rows: 4, digest: "x", independentDigest: "x" }],
    ["3 rows each, unlike by Tidemark's digest", { digest: "x" }],
    ["3 rows each, unlike by plain SQL", { independentDigest: "x" }],
    ["3 rows each, unlike by Tidemark's digest and unlike by plain SQL", { digest: "x", independentDigest: "x" }],
    ["3 rows each, without a digest by Tidemark", { digest: "" }],
  ])("say: %s", (words, change) => {
    expect(between(model(), model(change))).toEqual([`Tag: ${words}`]);
  });

  it("count a missing digest on both sides, which proves nothing", () => {
    expect(between(model({ digest: "" }), model({ digest: "" }))).toHaveLength(1);
  });

  it("name every model that differs and no other, and one that only one device has", () => {
    const a = comparison({ Tag: model(), Entry: model(), Volume: model(), Device: model() });
    const b = comparison({ Device: model(), Volume: model({ rows: 1 }), Tag: model({ digest: "x" }) });
    expect(differencesBetween(a, b)).toEqual([
      "Entry: only on A",
      "Tag: 3 rows each, unlike by Tidemark's digest",
      "Volume: 3 and 1 rows",
    ]);
    expect(differencesBetween(b, a)[0]).toBe("Entry: only on B");
  });
});
