import type { Bench } from "./bench.js";

/** One row of the table: what is done, what it is compared with, and what it should come to. */
export interface BenchCase {
  readonly name: string;
  /** What is done, and what the baseline is, in a few words. */
  readonly work: string;
  /** The figures of a run; the first is the one that the case is known by. */
  readonly parts: readonly BenchPart[];
  readonly run: (bench: Bench) => Promise<readonly Run[]>;
}

export interface BenchPart {
  readonly name: string;
  readonly unit: string;
  readonly target: Target;
}

export interface Target {
  /** For people: `≤ 1.5 × baseline`. */
  readonly text: string;
  readonly met: (figure: Figure) => boolean;
}

export interface Measurement {
  readonly value: number;
  readonly baseline: number;
}

/** Measurements by the name of the part. */
export type Run = Readonly<Record<string, Measurement>>;

/** Medians over the runs. */
export interface Figure extends Measurement {
  readonly ratio: number;
}

export function ratioAtMost(limit: number): Target {
  return { text: `≤ ${limit} × baseline`, met: ({ ratio }) => ratio <= limit };
}

export function ratioAtLeast(limit: number): Target {
  return { text: `≥ ${limit} × baseline`, met: ({ ratio }) => ratio >= limit };
}

export function valueBelow(limit: number, unit: string): Target {
  return { text: `< ${limit.toLocaleString("en")} ${unit}`, met: ({ value }) => value < limit };
}

export function valueAtLeast(limit: number, unit: string): Target {
  return { text: `≥ ${limit.toLocaleString("en")} ${unit}`, met: ({ value }) => value >= limit };
}

export function figureOf(runs: readonly Measurement[]): Figure {
  const value = median(runs.map((run) => run.value));
  const baseline = median(runs.map((run) => run.baseline));
  return { value, baseline, ratio: value / baseline };
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
