import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../demo/system-clock.js";
import { faultsOf, type Scenario, type ScenarioOutcome } from "./scenario.js";

/** Runs a scenario in small, as the tests do: nothing is shown, and the databases are gone afterwards. */
export async function runSmall(scenario: Scenario): Promise<ScenarioOutcome> {
  const workDirectory = await mkdtemp(join(tmpdir(), "tidemark-scenario-"));
  const display = { phase() {}, update() {}, note() {}, stop() {} };
  try {
    return await scenario.run({ size: "small", clock: systemClock, display, workDirectory, seed: 1 });
  } finally {
    await rm(workDirectory, { recursive: true, force: true });
  }
}

/** The checks that do not hold, as lines. */
export function faultsIn(outcome: Pick<ScenarioOutcome, "checks">): readonly string[] {
  return faultsOf(outcome).map(({ what, found }) => `${what}: ${found}`);
}
