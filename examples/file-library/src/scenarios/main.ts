import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inPlainWords } from "../demo/run-demo.js";
import { holdingClock, systemClock } from "../demo/system-clock.js";
import { BarProgress } from "../demo/ui/bar-progress.js";
import { coloursFor } from "../demo/ui/colours.js";
import { LineProgress } from "../demo/ui/line-progress.js";
import type { ProgressDisplay } from "../demo/ui/progress.js";
import { parseArguments, type ScenarioArguments } from "./arguments.js";
import { backoffScenario } from "./backoff.js";
import { RemoteDevice } from "./concurrent/remote-device.js";
import { concurrentIndexing } from "./concurrent/scenario.js";
import { pluginsOff } from "./plugins-off.js";
import { pruning } from "./pruning.js";
import { hasPassed, renderRun, type ScenarioRun, toJson } from "./result.js";
import type { Scenario } from "./scenario.js";

/** The composition root of the scenarios: command line, terminal, work folder and exit code. `npm run scenarios` starts it. */

const SCENARIOS: readonly Scenario[] = [
  concurrentIndexing((name, onProgress) => new RemoteDevice({ name, clock: systemClock, onProgress })),
  pruning,
  backoffScenario,
  pluginsOff,
];

/** What a shell expects of a program that was ended by Ctrl-C. */
const INTERRUPTED = 130;
/** Of the scenario that runs. */
let workDirectory: string | null = null;

async function main(): Promise<number> {
  const json = process.argv.includes("--json");
  const stream = json ? process.stderr : process.stdout;
  const colours = coloursFor({ isTerminal: stream.isTTY === true, env: process.env });
  let asked: ScenarioArguments;
  try {
    asked = parseArguments(
      process.argv.slice(2),
      SCENARIOS.map(({ number }) => number),
    );
  } catch (error) {
    stream.write(`${colours.red(inPlainWords(error))}\n`);
    return 2;
  }
  const { only, size, seed } = asked;
  const interrupted = () => {
    // The processes of devices notice that their parent has gone, and end.
    if (workDirectory !== null) rmSync(workDirectory, { recursive: true, force: true });
    process.exit(INTERRUPTED);
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  const display = stream.isTTY
    ? new BarProgress({ stream, colours, clock: systemClock })
    : new LineProgress({ stream, colours, clock: systemClock });
  const runs: ScenarioRun[] = [];
  for (const scenario of SCENARIOS) {
    if (only !== null && !only.includes(scenario.number)) continue;
    display.phase(`Scenario ${scenario.number}: ${scenario.title} (${size} size, seed ${seed})`);
    const run = await runOne(scenario, asked, display);
    display.stop();
    stream.write(renderRun(run, colours));
    runs.push(run);
  }
  if (json) process.stdout.write(`${JSON.stringify(toJson(runs, { size, seed }))}\n`);
  return runs.every(hasPassed) ? 0 : 1;
}

async function runOne(
  scenario: Scenario,
  { size, seed }: ScenarioArguments,
  display: ProgressDisplay,
): Promise<ScenarioRun> {
  workDirectory = await mkdtemp(join(tmpdir(), "tidemark-scenario-"));
  const startedMs = systemClock.monotonicMs();
  try {
    const outcome = await scenario.run({ size, seed, clock: holdingClock, display, workDirectory });
    return { scenario, outcome, error: null, durationMs: systemClock.monotonicMs() - startedMs };
  } catch (error) {
    const durationMs = systemClock.monotonicMs() - startedMs;
    return { scenario, outcome: null, error: inPlainWords(error), durationMs };
  } finally {
    await rm(workDirectory, { recursive: true, force: true });
    workDirectory = null;
  }
}

process.exitCode = await main();
