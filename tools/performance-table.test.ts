import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { newestResult, withTable } from "./performance-table.mjs";

it("docs/performance.md shows the newest result of the benchmark, and it is a full one", () => {
  const text = readFileSync(join(import.meta.dirname, "../docs/performance.md"), "utf8");
  const newest = newestResult();
  expect(newest.results.scale).toBe("full");
  expect(withTable(text, newest)).toBe(text);
});
