import { differencesBetween } from "./differences.js";
import type { DeviceFigures } from "./figures.js";
import type { Kill } from "./kill-plan.js";
import type { Comparison, DeviceName, DeviceStatus } from "./messages.js";
import { PLUGIN_NAMES, type PluginName } from "./plugin-names.js";
import type { Forgotten } from "./until-forgotten.js";

/** The outcome of a demo, and the verdict on it. */
export interface PhaseFigures {
  readonly durationMs: number;
  /** How much was done, by what it was: `A indexed`, `B received`. */
  readonly work: readonly { readonly what: string; readonly unit: string; readonly count: number }[];
}

export interface DemoOutcome {
  readonly directory: string;
  readonly seed: string;
  readonly phases: Readonly<Record<string, PhaseFigures>>;
  readonly comparison: Readonly<Record<DeviceName, Comparison>>;
  readonly status: Readonly<Record<DeviceName, DeviceStatus>>;
  /** Which of the plugins ran. */
  readonly plugins: Readonly<Record<PluginName, boolean>>;
  readonly figures: Readonly<Record<DeviceName, DeviceFigures>>;
  /** What the wait for empty logs ended with; null where nobody prunes. */
  readonly forgotten: Readonly<Record<DeviceName, Forgotten | null>>;
  readonly problems: Readonly<Record<DeviceName, number>>;
  readonly kills: readonly Kill[];
  /** Where the databases were left; null: they were removed. */
  readonly kept: string | null;
}

/** What the sync tables may hold at most once everybody has acknowledged everything, whatever the library holds. */
export const SYNC_TABLES_LIMIT_BYTES = 1024 * 1024;

/** Why the demo does not count as passed: the devices are not equal, or do not forget what they could. Empty when it does. */
export function faultsOf({
  comparison,
  status,
  forgotten,
}: Pick<DemoOutcome, "comparison" | "status" | "forgotten">): readonly string[] {
  const { A, B } = comparison;
  const faults: string[] = [];
  const differences = differencesBetween(A, B);
  if (differences.length > 0) faults.push(`the records of the two devices differ (${differences.join(", ")})`);
  for (const name of ["A", "B"] as const) {
    const violations = comparison[name].foreignKeyViolations;
    if (violations > 0) faults.push(`${violations} references on ${name} lead nowhere`);
    const { quarantined, deferred, foreign } = status[name].parked;
    if (quarantined > 0) faults.push(`${quarantined} records on ${name} are in quarantine`);
    if (deferred + foreign > 0) faults.push(`${deferred + foreign} records on ${name} wait for a later try`);
    faults.push(...pruningFaultsOf(name, status[name], forgotten[name]));
  }
  // A tagging whose tag the other side has deleted meanwhile stays hidden until everybody has acknowledged that and it has
  // been pruned. It is no fault as long as both hide the same.
  const hidden = { A: status.A.parked.hidden, B: status.B.parked.hidden };
  if (hidden.A !== hidden.B) faults.push(`${hidden.A} records are hidden on A, ${hidden.B} on B`);
  return faults;
}

function pruningFaultsOf(
  name: DeviceName,
  { syncTableBytes }: DeviceStatus,
  forgotten: Forgotten | null,
): readonly string[] {
  if (forgotten === null) return [];
  const { logEntries, heldBackBy } = forgotten;
  if (logEntries > 0) {
    const who = heldBackBy.length > 0 ? `, held back by ${heldBackBy.join(" and ")}` : "";
    return [`${logEntries} entries are left in the log of ${name}${who}`];
  }
  if (syncTableBytes < SYNC_TABLES_LIMIT_BYTES) return [];
  return [`the sync tables of ${name} hold ${syncTableBytes} bytes though the log is empty`];
}

/** What `--json` prints. Fields may be added, never removed. */
export function toJson(outcome: DemoOutcome): Readonly<Record<string, unknown>> {
  const { comparison, status, phases, plugins, figures } = outcome;
  const durations = Object.entries(phases).map(([name, { durationMs }]) => [name, Math.round(durationMs)] as const);
  const names = [...new Set([...Object.keys(comparison.A.models), ...Object.keys(comparison.B.models)])].sort();
  const faults = faultsOf(outcome);
  return {
    converged: faults.length === 0,
    faults,
    models: Object.fromEntries(
      names.map((name) => {
        const a = comparison.A.models[name];
        const b = comparison.B.models[name];
        return [
          name,
          {
            rows: a?.rows ?? 0,
            rowsA: a?.rows ?? 0,
            rowsB: b?.rows ?? 0,
            digestA: a?.digest ?? null,
            digestB: b?.digest ?? null,
            independentDigestA: a?.independentDigest ?? null,
            independentDigestB: b?.independentDigest ?? null,
          },
        ];
      }),
    ),
    foreignKeyViolations: comparison.A.foreignKeyViolations + comparison.B.foreignKeyViolations,
    durationMs: {
      ...Object.fromEntries(durations),
      total: durations.reduce((sum, [, durationMs]) => sum + durationMs, 0),
    },
    work: Object.fromEntries(Object.entries(phases).map(([name, { work }]) => [name, work])),
    plugins: Object.fromEntries(PLUGIN_NAMES.map((name) => [name, { on: plugins[name] }])),
    figures,
    forgotten: outcome.forgotten,
    syncTableBytes: { A: status.A.syncTableBytes, B: status.B.syncTableBytes },
    logEntries: { A: status.A.logEntries, B: status.B.logEntries },
    parked: { A: status.A.parked, B: status.B.parked },
    quarantined: { A: status.A.parked.quarantined, B: status.B.parked.quarantined },
    itemsPassedOver: outcome.problems,
    kills: outcome.kills,
    directory: outcome.directory,
    seed: outcome.seed,
    kept: outcome.kept,
  };
}
