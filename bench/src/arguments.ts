import { resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";

/** What the person who runs the benchmark asked for. */
export interface BenchArguments {
  readonly quick: boolean;
  /** Names of cases; empty: all. */
  readonly only: readonly string[];
  /** Where to write the results; absolute. */
  readonly json: string | null;
  /** Runs of each pair of work and baseline. */
  readonly runs: number;
  /** Where to write CPU profiles of all processes; absolute. */
  readonly profile: string | null;
}

const FULL_RUNS = 5;

/** Reads the command line (without node and the script). `--help` and bad options end the process, as commander does. */
export function parseArguments(args: readonly string[], names: readonly string[]): BenchArguments {
  const program = new Command("npm run bench --")
    .description(
      "Measures Tidemark against baselines of the same run. Needs nothing but this repository; writes to the system's\n" +
        "temporary directory, and removes what it wrote.",
    )
    .option("--quick", "small sizes, one run: a look, in less than 90 s")
    .option("--only <name>", `measure only this, may be given again: ${names.join(", ")}`, collect(names), [])
    .option("--runs <n>", `runs of each pair of work and baseline (default: ${FULL_RUNS}, or 1 with --quick)`, positive)
    .option("--json <file>", "write the results there")
    .option("--profile <directory>", "write a CPU profile of each process there; its figures don't count")
    .showHelpAfterError("Try --help for all options.")
    .parse([...args], { from: "user" });
  const options = program.opts<{
    quick?: true;
    only: readonly string[];
    runs?: number;
    json?: string;
    profile?: string;
  }>();
  const quick = options.quick === true;
  return {
    quick,
    only: options.only,
    json: options.json === undefined ? null : resolve(options.json),
    runs: options.runs ?? (quick ? 1 : FULL_RUNS),
    profile: options.profile === undefined ? null : resolve(options.profile),
  };
}

function collect(names: readonly string[]) {
  return (name: string, before: readonly string[]): readonly string[] => {
    if (!names.includes(name)) throw new InvalidArgumentError("There is no such case.");
    return [...before, name];
  };
}

function positive(value: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError("It is not a whole number above 0.");
  return number;
}
