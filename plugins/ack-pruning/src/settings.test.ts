import { isPlugin, type PluginSettings } from "@tidemark/plugin-api";
import { describe, expect, expectTypeOf, it } from "vitest";
import byDefault, { type AckPruningSettings, ackPruning } from "./index.js";
import { ackPruningSettings } from "./settings.js";

/** The paths and messages of what is wrong with `settings`. */
function problems(settings: unknown): string[] {
  const { error } = ackPruningSettings.safeParse(settings);
  return error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`) ?? [];
}

describe("the plugin", () => {
  it("is one, by name and by default, and makes its settings known to defineConfig", () => {
    expect(isPlugin(ackPruning)).toBe(true);
    expect(byDefault).toBe(ackPruning);
    expectTypeOf<PluginSettings["ack-pruning"]>().toEqualTypeOf<AckPruningSettings>();
  });
});

describe("the settings", () => {
  it("have the defaults that the README names", () => {
    expect(ackPruningSettings.parse({})).toEqual({
      strategy: "acknowledged",
      acknowledgeDelayMs: 1_000,
      pruneDelayMs: 2_000,
      intervalMs: 3_600_000,
      compact: true,
      warnAfterMs: 604_800_000,
    });
  });

  it("take the days only together with the strategy that uses them", () => {
    expect(problems({ strategy: "acknowledged-and-older-than", keepDays: 0 })).toEqual([]);
    expect(problems({ strategy: "acknowledged-and-older-than" })).toEqual([
      'keepDays: the strategy "acknowledged-and-older-than" needs it',
    ]);
    expect(problems({ keepDays: 3 })).toEqual([
      'keepDays: it has no effect unless strategy is "acknowledged-and-older-than"',
    ]);
  });

  it.each([
    ["keepDays", { strategy: "acknowledged-and-older-than", keepDays: -1 }],
    ["keepDays", { strategy: "acknowledged-and-older-than", keepDays: Number.POSITIVE_INFINITY }],
    ["strategy", { strategy: "everything" }],
    ["acknowledgeDelayMs", { acknowledgeDelayMs: -1 }],
    ["pruneDelayMs", { pruneDelayMs: 2 ** 31 }],
    ["intervalMs", { intervalMs: 999 }],
    ["compact", { compact: "yes" }],
    ["warnAfterMs", { warnAfterMs: 0.5 }],
    ["", { intervallMs: 60_000 }],
  ])("refuse a bad %s", (path, settings) => {
    expect(ackPruningSettings.safeParse(settings).error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
  });
});
