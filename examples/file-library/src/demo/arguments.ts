import { resolve } from "node:path";
import { Command, Option } from "commander";
import { fileLibraryErrors } from "../errors.js";
import { PLUGIN_NAMES, type PluginName } from "./plugin-names.js";
import { pluginsWithout } from "./without.js";

/** What the person who runs the demo asked for. */
export interface DemoArguments {
  /** Absolute. */
  readonly directory: string;
  /** Where to put the databases and scratch trees; null: the system's place for temporary files. */
  readonly workDirectory: string | null;
  readonly seed: string;
  readonly killSeed: string | null;
  readonly maxFiles: number | null;
  readonly scratchFiles: number;
  readonly fileChanges: number;
  readonly recordChanges: number;
  readonly stallMs: number;
  /** Plugins that are turned off. */
  readonly without: readonly PluginName[];
  readonly json: boolean;
  readonly keep: boolean;
}

export interface ArgumentDefaults {
  readonly directory: string;
  /** Used when no seed is given; printed, so that the run can be repeated. */
  readonly seed: string;
}

/**
 * Reads the command line (without node and the script). `--help` and unknown options end the process, as commander does.
 *
 * @throws FILE_LIBRARY_INVALID_ARGUMENT
 */
export function parseArguments(args: readonly string[], defaults: ArgumentDefaults): DemoArguments {
  const program = new Command("npm run demo --")
    .description(
      "Indexes a real directory on one device and keeps the same library on a second one: two processes, a database " +
        "each, connected over WebSocket on this machine. Ends with exit code 0 only if both are exactly equal.",
    )
    .option("--dir <path>", "the directory to index; it is only read (default: this repository's node_modules)")
    .option("--quick", "a small run: at most 2,000 files and few changes")
    .option("--max-files <n>", "index at most so many files of the directory")
    .option("--kill", "kill one of the processes (SIGKILL) at a random moment of each phase, and start it again")
    .addOption(new Option("--kill-seed <text>", "decides the moments of --kill; implies it"))
    .option("--seed <text>", "decides all changes that are made; the same seed makes the same changes")
    .addOption(
      new Option("--without <plugin>", `turn a plugin off, to compare: ${PLUGIN_NAMES.join(", ")}, or all; repeatable`)
        .argParser((value, values: readonly string[]) => [...values, value])
        .default([], "all plugins run"),
    )
    .option("--json", "print one JSON object as the last line of standard output, and all else to standard error")
    .option("--keep", "leave the databases, and say where they are")
    .option("--work-dir <path>", "where to put databases and scratch trees (default: the system's temporary directory)")
    .option("--settle-timeout <seconds>", "give up when nothing has moved for so long", "120")
    .showHelpAfterError("Try --help for all options.")
    .parse([...args], { from: "user" });
  const options = program.opts<{
    dir?: string;
    quick?: true;
    maxFiles?: string;
    kill?: true;
    killSeed?: string;
    seed?: string;
    json?: true;
    keep?: true;
    workDir?: string;
    settleTimeout: string;
    without: readonly string[];
  }>();
  const quick = options.quick === true;
  const seed = options.seed ?? defaults.seed;
  return {
    directory: resolve(options.dir ?? defaults.directory),
    workDirectory: options.workDir === undefined ? null : resolve(options.workDir),
    seed,
    killSeed: options.killSeed ?? (options.kill ? seed : null),
    maxFiles: options.maxFiles === undefined ? (quick ? 2_000 : null) : positive("--max-files", options.maxFiles),
    scratchFiles: quick ? 120 : 400,
    fileChanges: quick ? 60 : 200,
    recordChanges: quick ? 150 : 900,
    stallMs: positive("--settle-timeout", options.settleTimeout) * 1_000,
    without: pluginsWithout(options.without),
    json: options.json === true,
    keep: options.keep === true,
  };
}

function positive(option: string, value: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw fileLibraryErrors.invalidArgument({
    option,
    value,
    why: "it is not a whole number above 0",
    advice: "Give a number such as 5000",
  });
}
