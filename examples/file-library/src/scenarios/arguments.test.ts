import { expect, it } from "vitest";
import { parseArguments } from "./arguments.js";
import { hasPassed, toJson } from "./result.js";

it("runs everything in full unless something else is said", () => {
  expect(parseArguments([], [1, 2])).toEqual({ only: null, size: "full", seed: 1, json: false });
  expect(parseArguments(["--only", "2,1", "--small", "--seed", "7", "--json"], [1, 2])).toEqual({
    only: [2, 1],
    size: "small",
    seed: 7,
    json: true,
  });
});

it.each([
  ["--only", "3"],
  ["--only", "1,"],
  ["--only", "one"],
  ["--seed", "-1"],
  ["--seed", "x"],
])("refuses %s %s", (option, value) => {
  expect(() => parseArguments([option, value], [1, 2])).toThrow(`${option} `);
});

it("says that a scenario has failed when a check does not hold, when it broke off, and when it checked nothing", () => {
  const scenario = { number: 1, title: "a scenario" };
  const run = (holds: readonly boolean[]) => ({
    scenario,
    durationMs: 1.4,
    error: null,
    outcome: { checks: holds.map((it) => ({ what: "it", holds: it, found: "" })), figures: [] },
  });
  expect([run([true, true]), run([true, false]), run([])].map(hasPassed)).toEqual([true, false, false]);
  const broken = { scenario, durationMs: 1, error: "it broke off", outcome: null };
  expect(hasPassed(broken)).toBe(false);
  const asked = { size: "small", seed: 1 };
  expect(toJson([run([true])], asked)).toMatchObject({
    passed: true,
    seed: 1,
    scenarios: [{ number: 1, durationMs: 1 }],
  });
  expect(toJson([run([true]), broken], asked)).toMatchObject({
    passed: false,
    scenarios: [{}, { error: "it broke off" }],
  });
  expect(toJson([], asked).passed).toBe(false);
});
