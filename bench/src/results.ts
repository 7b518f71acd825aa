import { type BenchCase, type Figure, figureOf, type Measurement, type Run } from "./case.js";
import type { Machine } from "./machine.js";

/** What a run of the benchmark has found, in the form in which it is written to a file. */
export interface PartResult extends Figure {
  readonly unit: string;
  readonly target: string;
  readonly met: boolean;
  readonly runs: readonly Measurement[];
}

/** The figure that the case is known by, and all others by their names. */
export interface CaseResult extends PartResult {
  readonly work: string;
  readonly parts: Readonly<Record<string, PartResult>>;
}

export interface BenchResults {
  /** When the run began, in UTC. */
  readonly date: string;
  readonly machine: Machine;
  /** Only of a `full` run do the targets speak. */
  readonly scale: string;
  readonly cases: Readonly<Record<string, CaseResult>>;
}

export function resultOf({ work, parts }: BenchCase, runs: readonly Run[]): CaseResult {
  const results: Record<string, PartResult> = {};
  for (const { name, unit, target } of parts) {
    const measurements = runs.map((run) => run[name]!);
    const figure = figureOf(measurements);
    results[name] = { ...figure, unit, target: target.text, met: target.met(figure), runs: measurements };
  }
  return { ...results[parts[0]!.name]!, work, parts: results };
}

export function isMet({ parts }: CaseResult): boolean {
  return Object.values(parts).every(({ met }) => met);
}
