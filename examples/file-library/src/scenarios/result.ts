import Table from "cli-table3";
import type { Colours } from "../demo/ui/colours.js";
import { faultsOf, type Scenario, type ScenarioOutcome } from "./scenario.js";

/** What came out of the scenarios, for people and for programs. */
export interface ScenarioRun {
  readonly scenario: Pick<Scenario, "number" | "title">;
  readonly durationMs: number;
  /** Null: it broke off, for the reason in `error`. */
  readonly outcome: ScenarioOutcome | null;
  readonly error: string | null;
}

export function hasPassed({ outcome }: ScenarioRun): boolean {
  return outcome !== null && outcome.checks.length > 0 && faultsOf(outcome).length === 0;
}

/** One scenario: its checks, its figures and the verdict. */
export function renderRun(run: ScenarioRun, colours: Colours): string {
  const lines: string[] = [];
  if (run.outcome !== null) {
    const checks = plainTable(["", "must hold", "found"]);
    for (const { what, holds, found } of run.outcome.checks) {
      checks.push([holds ? colours.green("yes") : colours.red("NO"), what, found]);
    }
    lines.push(checks.toString());
    if (run.outcome.figures.length > 0) {
      const figures = plainTable(["measured", ""]);
      for (const { name, value } of run.outcome.figures) figures.push([name, String(value)]);
      lines.push(figures.toString());
    }
  }
  if (run.error !== null) lines.push(colours.red(run.error));
  const verdict = hasPassed(run) ? colours.green("passed") : colours.red("FAILED");
  lines.push(`Scenario ${run.scenario.number} ${verdict} in ${(run.durationMs / 1_000).toFixed(1)} s`);
  return `${lines.join("\n")}\n`;
}

/** What `--json` prints. Fields may be added, never removed. */
export function toJson(runs: readonly ScenarioRun[], asked: { readonly size: string; readonly seed: number }) {
  return {
    passed: runs.length > 0 && runs.every(hasPassed),
    ...asked,
    scenarios: runs.map((run) => ({
      number: run.scenario.number,
      title: run.scenario.title,
      passed: hasPassed(run),
      durationMs: Math.round(run.durationMs),
      checks: run.outcome?.checks ?? [],
      figures: run.outcome?.figures ?? [],
      error: run.error,
    })),
  };
}

function plainTable(head: string[]): Table.Table {
  return new Table({ head, style: { head: [], border: [], compact: true }, wordWrap: true });
}
