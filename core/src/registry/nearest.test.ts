import { expect, test } from "vitest";
import { nearestOf } from "./nearest.js";

test.each([
  ["exlude", ["exclude", "references"], "exclude"],
  ["ownershpi", ["ownership", "name"], "ownership"],
  ["Title", ["subtitle", "title"], "title"],
  ["parentID", ["parent", "parentId"], "parentId"],
  ["fk-batch", ["fk-batching", "metrics"], undefined],
  ["fk-batchin", ["fk-batching", "metrics"], "fk-batching"],
  ["a", ["b", "c"], undefined],
  ["colour", [], undefined],
])("the nearest to %j among %j is %j", (name, candidates, nearest) => {
  expect(nearestOf(name, candidates)).toBe(nearest);
});

test("two letters that changed places are one mistake", () => {
  // As two substitutions "abdc" would be further from "abcd" than the limit of one.
  expect(nearestOf("abdc", ["abcd"])).toBe("abcd");
});

test("of two that are equally near the first is taken", () => {
  expect(nearestOf("cat", ["car", "cap"])).toBe("car");
});
