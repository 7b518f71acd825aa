import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parseArguments } from "./arguments.js";

const defaults = { directory: "/repository/node_modules", seed: "chance" };

describe("the demo's command line", () => {
  it("indexes the repository's node_modules, whole, unless told otherwise", () => {
    expect(parseArguments([], defaults)).toMatchObject({
      directory: resolve(defaults.directory),
      workDirectory: null,
      seed: "chance",
      killSeed: null,
      maxFiles: null,
      json: false,
      keep: false,
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
      let refusal: unknown;
      try {
        parseArguments(args, defaults);
      } catch (error) {
        refusal = error;
      }
      expect(refusal).toMatchObject({ code: "FILE_LIBRARY_INVALID_ARGUMENT" });
    },
  );
});
