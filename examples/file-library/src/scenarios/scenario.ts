import type { Clock } from "@tidemark/plugin-api";
import type { ProgressDisplay } from "../demo/ui/progress.js";

/**
 * What a scenario is: something that a library lives through, and what must be true of it afterwards. The command runs
 * them in full, the tests in small; the checks are the same functions for both.
 */
export interface Scenario {
  readonly number: number;
  readonly title: string;
  readonly run: (context: ScenarioContext) => Promise<ScenarioOutcome>;
}

export interface ScenarioContext {
  readonly size: "full" | "small";
  /** Real time, for durations and progress; a scenario may move a clock of its own. */
  readonly clock: Clock;
  readonly display: ProgressDisplay;
  /** An empty directory for databases. */
  readonly workDirectory: string;
  /** Decides everything that is left to chance. */
  readonly seed: number;
}

export interface ScenarioOutcome {
  readonly checks: readonly Check[];
  /** What was measured, for people and programs. */
  readonly figures: readonly Figure[];
}

/** Something that must hold, and what was found. */
export interface Check {
  readonly what: string;
  readonly holds: boolean;
  readonly found: string;
}

export interface Figure {
  readonly name: string;
  readonly value: string | number;
}

/** Two things that must be the same; shown as JSON where they are not. */
export function isEqual(what: string, found: unknown, expected: unknown): Check {
  const [is, should] = [JSON.stringify(found), JSON.stringify(expected)];
  return { what, holds: is === should, found: is === should ? shorten(is) : `${shorten(is)}, not ${shorten(should)}` };
}

export function isTrue(what: string, holds: boolean, found: unknown): Check {
  return { what, holds, found: typeof found === "string" ? found : shorten(JSON.stringify(found)) };
}

/** The checks that do not hold. */
export function faultsOf({ checks }: Pick<ScenarioOutcome, "checks">): readonly Check[] {
  return checks.filter(({ holds }) => !holds);
}

const LONGEST = 240;

function shorten(text: string | undefined): string {
  const whole = text ?? "nothing";
  return whole.length <= LONGEST ? whole : `${whole.slice(0, LONGEST)}…`;
}
