import { Command } from "commander";
import { fileLibraryErrors } from "../errors.js";

/** What the person who runs the scenarios asked for. */
export interface ScenarioArguments {
  /** Numbers of the scenarios to run; null: all. */
  readonly only: readonly number[] | null;
  readonly size: "full" | "small";
  readonly seed: number;
  readonly json: boolean;
}

/**
 * Reads the command line (without node and the script). `--help` and unknown options end the process, as commander does.
 *
 * @throws FILE_LIBRARY_INVALID_ARGUMENT
 */
export function parseArguments(args: readonly string[], known: readonly number[]): ScenarioArguments {
  const program = new Command("npm run scenarios --")
    .description(
      "Lets libraries of real kernels live through what sync systems fail at, in full size, and checks what must hold\n" +
        "afterwards. Ends with exit code 0 only if everything holds.",
    )
    .option("--only <numbers>", `run only these: some of ${known.join(", ")}, with commas in between`)
    .option("--small", "small libraries, as in the tests")
    .option("--seed <number>", "decides what is left to chance; the same seed makes the same choices", "1")
    .option("--json", "print one JSON object as the last line of standard output, and all else to standard error")
    .showHelpAfterError("Try --help for all options.")
    .parse([...args], { from: "user" });
  const options = program.opts<{ only?: string; small?: true; seed: string; json?: true }>();
  return {
    only: options.only === undefined ? null : numbers(options.only, known),
    size: options.small === true ? "small" : "full",
    seed: wholeNumber("--seed", options.seed),
    json: options.json === true,
  };
}

function numbers(text: string, known: readonly number[]): readonly number[] {
  return text.split(",").map((part) => {
    const number = wholeNumber("--only", part);
    if (known.includes(number)) return number;
    throw fileLibraryErrors.invalidArgument({
      option: "--only",
      value: part,
      why: "there is no such scenario",
      advice: `Give some of ${known.join(", ")}`,
    });
  });
}

function wholeNumber(option: string, value: string): number {
  const number = Number(value);
  if (value.trim() !== "" && Number.isSafeInteger(number) && number >= 0) return number;
  throw fileLibraryErrors.invalidArgument({
    option,
    value,
    why: "it is not a whole number",
    advice: "Give a number such as 1",
  });
}
