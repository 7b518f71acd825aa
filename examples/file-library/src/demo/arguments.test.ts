import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parseArguments } from "./arguments.js";
import { PLUGIN_NAMES } from "./plugin-names.js";

const defaults = { directory: "/repository/node_modules", seed: "chance" };

function refusalOf(args: readonly string[]): unknown {
  try {
    return parseArguments(args, defaults);
  } catch (error) {
    return error;
  }
}

describe("the demo's command line", () => {
  it("indexes the repository's node_modules, whole, unless told otherwise", () => {
    expect(parseArguments([], defaults)).toMatchObject({
      directory: resolve(defaults.directory),
      workDirectory: null,
      seed: "chance",
      killSeed: null,
      maxFiles: null,
      without: [],
      json: false,
      keep: false,
    });
  });

  it("turns off the plugins that are named, one after the other or all", () => {
    const without = (...args: string[]) => parseArguments(args, defaults).without;
    expect(without("--without", "metrics", "--quick", "--without", "fk-batching")).toEqual(["fk-batching", "metrics"]);
    expect(without("--without", "backoff", "--without", "backoff")).toEqual(["backoff"]);
    expect(without("--without", "all")).toEqual(PLUGIN_NAMES);
  });

  it.each([
    ["ack-prunning", "there is no such plugin here", /^Did you mean ack-pruning\? There are fk-batching, /],
    ["prune", "there is no such plugin here", /^Did you mean ack-pruning\?/],
    ["FK-Batching", "there is no such plugin here", /^Did you mean fk-batching\?/],
    ["fk", "there is no such plugin here", /^Did you mean fk-batching\?/],
    ["metric", "there is no such plugin here", /^Did you mean metrics\?/],
    ["websocket", "without a transport the two devices would never meet", /^Any of these can be left out: fk-/],
  ])("refuses --without %s, naming what can be left out", (name, why, advice) => {
    expect(refusalOf(["--without", name])).toMatchObject({
      code: "FILE_LIBRARY_INVALID_ARGUMENT",
      why,
      advice: expect.stringMatching(advice),
    });
  });

  it("takes all its options", () => {
    const args = "--dir x --max-files 7 --kill-seed k --seed s --json --keep --work-dir w --settle-timeout 5".split(
      " ",
    );
    expect(parseArguments(args, defaults)).toMatchObject({
      directory: resolve("x"),
      workDirectory: resolve("w"),
      seed: "s",
      killSeed: "k",
      maxFiles: 7,
      stallMs: 5_000,
      json: true,
      keep: true,
    });
  });

  it("kills by the seed of the run unless the kills have their own", () => {
    expect(parseArguments(["--kill"], defaults).killSeed).toBe("chance");
    expect(parseArguments(["--kill", "--seed", "s"], defaults).killSeed).toBe("s");
  });

  it("makes a quick run small, and lets --max-files decide over it", () => {
    expect(parseArguments(["--quick"], defaults).maxFiles).toBe(2_000);
    expect(parseArguments(["--quick", "--max-files", "9"], defaults).maxFiles).toBe(9);
  });

  it.each([[["--max-files", "none"]], [["--max-files", "0"]], [["--settle-timeout", "1.5"]]])(
    "refuses %j, saying what to write instead",
    (args) => {
      expect(refusalOf(args)).toMatchObject({ code: "FILE_LIBRARY_INVALID_ARGUMENT" });
    },
  );
});
