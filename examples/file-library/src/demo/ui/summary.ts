import { PLUGIN_NAMES } from "../plugin-names.js";
import { type DemoOutcome, faultsOf, SYNC_TABLES_LIMIT_BYTES } from "../result.js";
import type { Colours } from "./colours.js";
import { formatAmount, formatBytes, formatCount, formatDuration, formatRate } from "./format.js";
import { pluginTable } from "./plugin-table.js";
import { plainTable } from "./table.js";

/** The tables at the end of a demo, and the verdict in words. */
export function summary(outcome: DemoOutcome, colours: Colours): string {
  const faults = faultsOf(outcome);
  const verdict =
    faults.length === 0
      ? colours.green("In step: both devices hold exactly the same records.")
      : colours.red(`Not as it should be: ${faults.join("; ")}.`);
  return [
    colours.bold("Records"),
    modelTable(outcome, colours),
    colours.bold("Phases"),
    phaseTable(outcome),
    colours.bold("Plugins"),
    pluginTable(outcome, colours),
    colours.bold("Checks"),
    checkTable(outcome),
    ...explanations(outcome),
    verdict,
    ...comparisons(outcome).map(colours.dim),
    "",
  ].join("\n");
}

/** Enough of a digest to compare by eye. */
const DIGEST_CHARACTERS = 12;

function modelTable({ comparison }: DemoOutcome, colours: Colours): string {
  const table = plainTable(["model", "rows A", "rows B", "digest A", "digest B", ""], "lrrlll");
  for (const name of Object.keys(comparison.A.models)) {
    const a = comparison.A.models[name]!;
    const b = comparison.B.models[name];
    const equal = a.digest === b?.digest && a.independentDigest === b.independentDigest && a.rows === b.rows;
    table.push([
      name,
      formatCount(a.rows),
      formatCount(b?.rows ?? 0),
      a.digest.slice(0, DIGEST_CHARACTERS),
      (b?.digest ?? "").slice(0, DIGEST_CHARACTERS),
      equal ? colours.green("equal") : colours.red("differs"),
    ]);
  }
  return table.toString();
}

function phaseTable({ phases }: DemoOutcome): string {
  const table = plainTable(["phase", "time", "work", "count", "rate"], "lrlrr");
  for (const [name, { durationMs, work }] of Object.entries(phases)) {
    table.push([name, formatDuration(durationMs), "", "", ""]);
    for (const { what, unit, count } of work) {
      table.push(["", "", what, `${formatCount(count)} ${unit}`, formatRate(count, durationMs)]);
    }
  }
  return table.toString();
}

function checkTable({ comparison, status, problems }: DemoOutcome): string {
  const table = plainTable(["", "A", "B"], "lrr");
  const { A, B } = status;
  table.push(
    [
      "references that lead nowhere",
      formatCount(comparison.A.foreignKeyViolations),
      formatCount(comparison.B.foreignKeyViolations),
    ],
    ["parked: in quarantine", formatCount(A.parked.quarantined), formatCount(B.parked.quarantined)],
    ["parked: for a later try", formatCount(A.parked.deferred), formatCount(B.parked.deferred)],
    ["parked: hidden", formatCount(A.parked.hidden), formatCount(B.parked.hidden)],
    ["parked: deleted, with later edits", formatCount(A.parked.dead), formatCount(B.parked.dead)],
    ["items passed over while indexing", formatCount(problems.A), formatCount(problems.B)],
  );
  return table.toString();
}

function explanations({ plugins, figures, status, forgotten, kills, kept }: DemoOutcome): string[] {
  const lines = [...hiddenInWords({ plugins, figures, status }), ...pruningInWords({ status, forgotten })];
  for (const name of ["A", "B"] as const) {
    const health = figures[name].health;
    if (health !== null && health.reason !== "") lines.push(`${name} was ${health.worst}: ${health.reason}.`);
  }
  for (const name of ["A", "B"] as const) {
    const phases = kills.flatMap(({ device, phase }) => (device === name ? [`“${phase}”`] : []));
    if (phases.length > 0) lines.push(`${name} was killed and started again in ${phases.join(", ")}.`);
  }
  if (kills.length > 0) {
    lines.push("What a killed process had counted since its last report, a moment before, is not in the figures.");
  }
  if (kept !== null) lines.push(`The databases are in ${kept}`);
  return lines;
}

/** A tagging whose tag the other device has deleted is no mistake; what becomes of it depends on ack-pruning. */
function hiddenInWords({ plugins, figures, status }: Pick<DemoOutcome, "plugins" | "figures" | "status">): string[] {
  const hidden = status.A.parked.hidden;
  if (hidden > 0 && hidden === status.B.parked.hidden) {
    const then = plugins["ack-pruning"] ? "They go" : "With ack-pruning they would go";
    return [
      `Hidden: ${formatAmount(hidden, "record")} on either device, because what they refer to was deleted meanwhile, such as the`,
      `tag of a tagging. ${then} once everybody has acknowledged the deletion.`,
    ];
  }
  const [a, b] = [figures.A.log.erasedRecords, figures.B.log.erasedRecords];
  if (hidden > 0 || a + b === 0) return [];
  return [
    `Erased: ${formatAmount(a, "record")} on A and ${formatCount(b)} on B that were hidden, because what they refer to was deleted`,
    "meanwhile, such as the tag of a tagging. Everybody has acknowledged the deletion, so it is final.",
  ];
}

function pruningInWords({ status, forgotten }: Pick<DemoOutcome, "status" | "forgotten">): string[] {
  const sizes = `${formatBytes(status.A.syncTableBytes)} on A and ${formatBytes(status.B.syncTableBytes)} on B`;
  if (forgotten.A === null || forgotten.B === null) {
    return [`Nobody prunes: the sync tables keep ${sizes}, and grow with every record that is written.`];
  }
  const bytes = Math.max(status.A.syncTableBytes, status.B.syncTableBytes);
  if (forgotten.A.logEntries + forgotten.B.logEntries > 0 || bytes >= SYNC_TABLES_LIMIT_BYTES) return [];
  return [`Everybody has acknowledged everything: the sync tables hold ${sizes}, less than 1 MiB.`];
}

/** How to see the difference that the plugins make. */
function comparisons({ plugins, seed }: DemoOutcome): string[] {
  if (!PLUGIN_NAMES.some((name) => plugins[name]))
    return [`To compare, run it again with --seed ${seed} and all plugins.`];
  return [`To compare, run it again with --seed ${seed} and --without all, or --without one of the plugins above.`];
}
