import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArguments } from "./arguments.js";
import { Bench } from "./bench.js";
import { allCases } from "./cases/all-cases.js";
import { describeMachine } from "./machine.js";
import { coloursFor } from "./output/colours.js";
import { Progress } from "./output/progress.js";
import { renderMachine, renderTable } from "./output/table.js";
import type { BenchResults } from "./results.js";
import { runCases } from "./run-bench.js";
import { systemClock } from "./system-clock.js";

/** The benchmark's composition root: command line, terminal, work folder and signals. `npm run bench` starts it. */
async function main(): Promise<void> {
  const { quick, only, json, runs, profile } = parseArguments(
    process.argv.slice(2),
    allCases.map(({ name }) => name),
  );
  const { stdout, stderr, env } = process;
  const progress = new Progress({
    stream: stderr,
    clock: systemClock,
    colours: coloursFor({ isTerminal: stderr.isTTY === true, env }),
  });
  const date = new Date(systemClock.now()).toISOString();
  const machine = describeMachine();
  stdout.write(`${renderMachine(machine)}\n`);
  const workDirectory = await mkdtemp(join(tmpdir(), "tidemark-bench-"));
  if (profile !== null) await mkdir(profile, { recursive: true });
  const scale = quick ? "quick" : "full";
  const bench = new Bench({ scale, runs, workDirectory, profileDirectory: profile, say: (what) => progress.say(what) });
  const interrupt = () => {
    void bench.endAll().finally(() => process.exit(130));
  };
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  try {
    const chosen = only.length === 0 ? allCases : allCases.filter(({ name }) => only.includes(name));
    const results: BenchResults = { date, machine, scale, cases: await runCases(bench, chosen) };
    progress.done();
    stdout.write(`${renderTable(results, coloursFor({ isTerminal: stdout.isTTY === true, env }))}\n`);
    if (json !== null) await writeFile(json, `${JSON.stringify(results, null, 2)}\n`);
  } catch (error) {
    progress.done();
    stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  } finally {
    await rm(workDirectory, { recursive: true, force: true });
  }
}

await main();
