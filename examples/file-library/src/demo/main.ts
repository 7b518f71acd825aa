import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, realpath, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isTidemarkError } from "@tidemark/plugin-api";
import { fileLibraryErrors } from "../errors.js";
import { systemCode } from "../indexer/file-system.js";
import { type DemoArguments, parseArguments } from "./arguments.js";
import { type DemoOutcome, faultsOf, toJson } from "./result.js";
import { inPlainWords, runDemo } from "./run-demo.js";
import { systemClock } from "./system-clock.js";
import { systemRandom } from "./system-random.js";
import { BarProgress } from "./ui/bar-progress.js";
import { coloursFor } from "./ui/colours.js";
import { LineProgress } from "./ui/line-progress.js";
import { summary } from "./ui/summary.js";

/** The demo's composition root: command line, terminal, work folder, signals and exit code. `npm run demo` starts it. */

/** What a shell expects of a program that was ended by Ctrl-C. */
const INTERRUPTED = 130;

class Interrupted extends Error {}

async function main(): Promise<number> {
  const json = process.argv.includes("--json");
  const stream = json ? process.stderr : process.stdout;
  const colours = coloursFor({ isTerminal: stream.isTTY === true, env: process.env });
  const interruption = new AbortController();
  const interrupt = () => interruption.abort(new Interrupted());
  // Asking twice does not make it faster, and must not leave the work folder behind.
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  let kept: string | null = null;
  try {
    const options = parseArguments(process.argv.slice(2), {
      // From examples/file-library/dist/demo; every clone has it after `npm ci`.
      directory: fileURLToPath(new URL("../../../../node_modules", import.meta.url)),
      seed: randomBytes(4).toString("hex"),
    });
    const directory = await existingDirectory(options.directory);
    const outcome = await inWorkDirectory(options, async (workDirectory) => {
      kept = options.keep ? workDirectory : null;
      stream.write(`${colours.bold("Tidemark")}: ${directory} on device A, the same library on device B\n`);
      const without = options.without.length === 0 ? "all plugins on" : `without ${options.without.join(", ")}`;
      stream.write(`${colours.dim(`${without}, seed ${options.seed}, databases in ${workDirectory}`)}\n`);
      const display = stream.isTTY
        ? new BarProgress({ stream, colours, clock: systemClock })
        : new LineProgress({ stream, colours, clock: systemClock });
      return runDemo(
        { ...options, directory, workDirectory, kept },
        {
          clock: systemClock,
          random: systemRandom,
          display,
          deviceScript: fileURLToPath(new URL("./device-process.js", import.meta.url)),
          signal: interruption.signal,
        },
      );
    });
    stream.write(`\n${summary(outcome, colours)}`);
    if (json) printJson(toJson(outcome));
    return exitCodeOf(outcome);
  } catch (error) {
    if (error instanceof Interrupted) {
      const left = kept === null ? "nothing is left behind" : `the databases are in ${kept}`;
      stream.write(`Stopped: both processes have ended, and ${left}.\n`);
      if (json) printJson({ converged: false, error: { code: "INTERRUPTED", message: "stopped by a signal" } });
      return INTERRUPTED;
    }
    stream.write(`\n${colours.red(inPlainWords(error))}\n`);
    if (json) {
      const code = isTidemarkError(error) ? error.code : "UNEXPECTED";
      printJson({ converged: false, error: { code, message: error instanceof Error ? error.message : String(error) } });
    }
    return 1;
  }
}

function exitCodeOf(outcome: DemoOutcome): number {
  return faultsOf(outcome).length === 0 ? 0 : 1;
}

function printJson(value: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

async function existingDirectory(path: string): Promise<string> {
  try {
    if (!(await stat(path)).isDirectory()) throw fileLibraryErrors.notADirectory({ path });
    return await realpath(path);
  } catch (error) {
    if (isTidemarkError(error)) throw error;
    if (systemCode(error) === "ENOENT") throw fileLibraryErrors.directoryMissing({ path, cause: error });
    throw fileLibraryErrors.directoryUnreadable({ path, reason: systemCode(error), cause: error });
  }
}

/** Runs `work` in a new directory of its own, which is removed afterwards unless it is to be kept. */
async function inWorkDirectory<Result>(
  { workDirectory, keep }: DemoArguments,
  work: (workDirectory: string) => Promise<Result>,
): Promise<Result> {
  const parent = workDirectory ?? tmpdir();
  let own: string;
  try {
    await createIfMissing(parent);
    own = await mkdtemp(join(await realpath(parent), "tidemark-demo-"));
  } catch (error) {
    throw fileLibraryErrors.invalidArgument({
      option: "--work-dir",
      value: parent,
      why: `nothing can be created there (${systemCode(error)})`,
      advice: "Give a directory that may be written to, or a new one in one that exists",
    });
  }
  try {
    return await work(own);
  } finally {
    if (!keep) await rm(own, { recursive: true, force: true });
  }
}

async function createIfMissing(path: string): Promise<void> {
  try {
    // Not recursive: a mistyped path should fail, not leave a chain of directories behind.
    await mkdir(path);
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  }
}

process.exitCode = await main();
