import type { PluginSettings } from "@tidemark/plugin-api";
import { expect, expectTypeOf, it } from "vitest";
import { type BackoffSettings, backoffSettings } from "./settings.js";

function problems(settings: unknown): string[] {
  const { error } = backoffSettings.safeParse(settings);
  return error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`) ?? [];
}

it("has the defaults that the README names", () => {
  expect(backoffSettings.parse({})).toEqual({
    baseMs: 10_000,
    factor: 2,
    capMs: 300_000,
    jitter: 0.1,
    failuresBeforeBackfill: 5,
  });
});

it.each([
  [{ baseMs: 0 }, "baseMs"],
  [{ baseMs: 99 }, "baseMs"],
  [{ baseMs: Number.NaN }, "baseMs"],
  [{ capMs: 9_999 }, "capMs"],
  [{ baseMs: 300_001 }, "capMs"],
  [{ capMs: 604_800_001 }, "capMs"],
  [{ factor: 0.9 }, "factor"],
  [{ factor: 11 }, "factor"],
  [{ factor: Number.POSITIVE_INFINITY }, "factor"],
  [{ jitter: -0.1 }, "jitter"],
  [{ jitter: 1.1 }, "jitter"],
  [{ failuresBeforeBackfill: 0 }, "failuresBeforeBackfill"],
  [{ failuresBeforeBackfill: 2.5 }, "failuresBeforeBackfill"],
  [{ cap: 1 }, ""],
])("refuses %j, naming the key", (settings, path) => {
  expect(problems(settings)).toEqual([expect.stringMatching(new RegExp(`^${path}: `))]);
});

it("says how the longest delay must stand to the first", () => {
  expect(problems({ baseMs: 2_000, capMs: 1_000 })).toEqual(["capMs: capMs must not be less than baseMs"]);
  expect(problems({ baseMs: 1_000, capMs: 1_000 })).toEqual([]);
});

it("makes its settings known to defineConfig", () => {
  expectTypeOf<PluginSettings["backoff"]>().toEqualTypeOf<BackoffSettings>();
});
